"""Build the pages of a profile: cold, warnings as errors, checked, and only then put in place.

A warm build would hide warnings of pages already read, and a failed one would pass the second time; so every
build starts in an empty folder. The old pages stay until the new ones have passed their checks.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from echobook.pipeline.errors import PipelineError
from echobook.pipeline.project import PROFILES, Project
from echobook.pipeline.runner import place

BOOK_PROFILES = tuple(profile for profile in PROFILES if profile != "smoke")


def build_book(project: Project, profile: str) -> Path:
    """Build and check the book of `profile`; return the folder of its pages.

    Raises:
        PipelineError: the profile is ``smoke``; Jupyter Book failed or warned; a check of the pages failed.
    """
    if profile not in BOOK_PROFILES:
        raise PipelineError(
            f"no book is made of the profile {profile!r}", f"one of: {', '.join(BOOK_PROFILES)}"
        )
    home = project.profile(profile)
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".book-", dir=home) as name:
        pages = _render(project, profile, Path(name))
        _check(project, profile, pages)
        _swap(pages, home / "html")
    place(short_scoreboard(project), home / "scoreboard.txt")
    place("built and checked\n", home / "book.stamp")
    return home / "html"


def page_environment(project: Project, profile: str) -> dict[str, str]:
    """Return the environment in which the pages are built and checked."""
    return {
        **os.environ,
        "ECHOBOOK_PROFILE": profile,
        "ECHOBOOK_ROOT": str(project.root),
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
    }


def _render(project: Project, profile: str, work: Path) -> Path:
    start = "from jupyter_book.cli.main import main; main()"  # the package has no __main__
    command = ["-c", start, "build", str(project.root), "--path-output", str(work)]
    strict = ["-W", "--keep-going", "-n"]
    _run(project, profile, [sys.executable, *command, *strict], "Jupyter Book")
    pages = work / "_build" / "html"
    if not (pages / "index.html").is_file():
        raise PipelineError("Jupyter Book ended without index.html", "see its messages above")
    return pages


def _check(project: Project, profile: str, pages: Path) -> None:
    _run(
        project,
        profile,
        [sys.executable, "-m", "echobook.sphinx.check", str(pages)],
        "the check of the pages",
    )


def _run(project: Project, profile: str, command: list[str], what: str) -> None:
    done = subprocess.run(command, cwd=project.root, env=page_environment(project, profile), check=False)
    if done.returncode:
        raise PipelineError(f"{what} failed (exit status {done.returncode})", "correct what is named above")


def _swap(new: Path, place: Path) -> None:
    """Put the folder `new` at `place`, the old one out of the way first."""
    old = place.with_name(f".{place.name}-old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def short_scoreboard(project: Project) -> str:
    """Return the scoreboard for a terminal."""
    from echobook.pipeline.chapters import published_chapters
    from echobook.report.scoreboard import plain_scoreboard, scoreboard

    slugs = [entry.slug for entry in published_chapters(project)]
    return plain_scoreboard(scoreboard(project.root, slugs=slugs)).rstrip() + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Build from the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m echobook.pipeline.book", description=__doc__)
    parser.add_argument("--profile", default="default", choices=PROFILES)
    parser.add_argument("--root", type=Path)
    options = parser.parse_args(arguments)
    try:
        print(f"book: {build_book(Project.at(options.root), options.profile)}")
    except PipelineError as error:
        print(f"book ({options.profile}): {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
