"""Where things lie: one place that knows the folders of the repository and of the build.

Every path of the workflow is derived here, so that the runner, the Snakefile and the checks
cannot disagree about the name of a file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROFILES = ("smoke", "default", "public", "paper")


def find_root(start: Path | None = None) -> Path:
    """Return the repository's top folder.

    ``ECHOBOOK_ROOT`` wins; then the nearest folder at or above `start` (default: the working folder) that
    holds ``book/chapters.yml``; then the source tree that this package was installed from.
    """
    if named := os.environ.get("ECHOBOOK_ROOT"):
        return Path(named).resolve()
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "book" / "chapters.yml").is_file():
            return folder
    return Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Project:
    """Paths of one repository checkout and of one build folder (default ``<root>/_build``)."""

    root: Path
    build: Path

    @classmethod
    def at(cls, root: Path | None = None, build: Path | None = None) -> Project:
        """Return the project at `root` (found when not given) that writes below `build`."""
        top = root.resolve() if root else find_root()
        return cls(top, build.absolute() if build else top / "_build")

    @property
    def registry(self) -> Path:
        """The list of chapters."""
        return self.root / "book" / "chapters.yml"

    def parameters(self, slug: str) -> Path:
        """The file with a chapter's parameter values, profile by profile."""
        return self.root / "workflow" / "parameters" / f"{slug}.yml"

    def claims(self, slug: str) -> Path:
        """The file with the claims of a chapter's paper."""
        return self.root / "data" / "claims" / f"{slug}.yml"

    def recorded(self, profile: str, slug: str) -> Path:
        """The folder with a chapter's committed results."""
        return self.root / "data" / "recorded" / profile / slug

    def profile(self, profile: str) -> Path:
        """The build folder of a profile."""
        return self.build / profile

    def executed(self, profile: str, notebook: str, seed: int, first_seed: int) -> Path:
        """The executed copy of `notebook` (relative to the root); later seeds carry their number."""
        source = Path(notebook)
        name = source.stem if seed == first_seed else f"{source.stem}.seed-{seed}"
        return self.profile(profile) / "executed" / source.parent / f"{name}.ipynb"

    def failed(self, executed: Path) -> Path:
        """The preview that a failed run leaves instead of `executed`."""
        return executed.with_name(f"{executed.stem}.failed.ipynb")

    def result(self, profile: str, slug: str, seed: int) -> Path:
        """The results file of one run."""
        return self.profile(profile) / "results" / slug / f"seed-{seed}.json"

    def log(self, profile: str, slug: str, seed: int) -> Path:
        """What one run printed."""
        return self.profile(profile) / "logs" / slug / f"seed-{seed}.log"

    def relative(self, path: Path) -> str:
        """`path` as seen from the root, for messages."""
        try:
            return path.resolve().relative_to(self.root).as_posix()
        except ValueError:
            return str(path)
