"""Where the report finds and leaves files, relative to the repository root."""

import os
import re
from pathlib import Path

from echobook.report.errors import ReportError

SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
PROFILES = ("smoke", "default", "public", "paper")


def repository_root() -> Path:
    """Return the repository root: `ECHOBOOK_ROOT`, else the first folder upwards with `data/claims`.

    The search starts at the working directory, then at this file. Raises ReportError when neither is inside
    a checkout.
    """
    named = os.environ.get("ECHOBOOK_ROOT")
    if named:
        return Path(named)
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            if (folder / "data" / "claims").is_dir() and (folder / "pyproject.toml").is_file():
                return folder
    raise ReportError(
        f"no Echobook checkout at or above {Path.cwd()}: expected a folder with pyproject.toml and "
        "data/claims; start Jupyter inside the checkout or set ECHOBOOK_ROOT"
    )


def check_slug(slug: str) -> str:
    """Return `slug` if it is a valid chapter slug (lower case, hyphens), else raise ReportError."""
    if not SLUG.fullmatch(slug):
        raise ReportError(
            f"slug {slug!r}: expected lower-case words joined by hyphens, such as 'self-learning'"
        )
    return slug


def check_profile(profile: str) -> str:
    """Return `profile` if it is one of the four profiles, else raise ReportError."""
    if profile not in PROFILES:
        raise ReportError(f"profile {profile!r}: expected one of {', '.join(PROFILES)}")
    return profile


def module_stem(slug: str) -> str:
    """Return the file stem of a slug's notebook and module: hyphens become underscores."""
    return check_slug(slug).replace("-", "_")


def seed_file(folder: Path, seed: int) -> Path:
    """Return the results file of one seed in a chapter's folder."""
    return folder / f"seed-{seed}.json"


def recorded_folder(root: Path, profile: str, slug: str) -> Path:
    """Return `data/recorded/<profile>/<slug>` under the repository root."""
    return root / "data" / "recorded" / check_profile(profile) / check_slug(slug)


def results_folder(root: Path, profile: str, slug: str) -> Path:
    """Return `_build/<profile>/results/<slug>` under the repository root."""
    return root / "_build" / check_profile(profile) / "results" / check_slug(slug)


def claims_file(root: Path, slug: str) -> Path:
    """Return `data/claims/<slug>.yml` under the repository root."""
    return root / "data" / "claims" / f"{check_slug(slug)}.yml"


def notebook_file(root: Path, slug: str) -> Path | None:
    """Return the tracked notebook of a slug, or None when the chapter has none yet."""
    found = sorted((root / "notebooks").glob(f"*/{module_stem(slug)}.py"))
    return found[0] if found else None
