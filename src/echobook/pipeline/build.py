"""Build a profile: run what is out of date through Snakemake, show progress, end with where the book is.

``python -m echobook.pipeline.build --profile default`` is what ``make book`` calls.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from echobook.pipeline.book import BOOK_PROFILES
from echobook.pipeline.errors import PipelineError
from echobook.pipeline.lock import exclusive
from echobook.pipeline.pages import plan_pages
from echobook.pipeline.plan import Job, plan
from echobook.pipeline.progress import Progress
from echobook.pipeline.project import PROFILES, Project


def snakemake_command(
    project: Project, profile: str, slugs: list[str], *, cores: int, slurm: bool = False, book: bool = True
) -> list[str]:
    """Return the command that brings `profile` up to date; its working folder is the repository's root."""
    chosen = project.root / "workflow" / "profiles" / ("slurm" if slurm else "local")
    config = [f"profile={profile}", *([f"slugs={' '.join(slugs)}"] if slugs else [])]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(project.root / "workflow" / "Snakefile")]
    command += ["--workflow-profile", str(chosen), "--nolock", "--nocolor", "--config", *config]
    if not slurm:
        command += ["--cores", str(cores)]
    return [*command, "--", "book" if book else "chapters"]


def build(
    project: Project, profile: str, slugs: list[str], *, cores: int, slurm: bool = False, book: bool = True
) -> int:
    """Run the workflow and report; return the exit status (0: everything is up to date and checked)."""
    started = time.monotonic()
    wants_book = book and not slugs and profile in BOOK_PROFILES
    with exclusive(project.profile(profile) / "build.lock", f"a build of the profile {profile}"):
        jobs = [*plan(project, profile, slugs), *plan_pages(project, profile, slugs)]
        if not jobs:
            raise PipelineError(f"no published chapter has the profile {profile!r}", "`echobook list`")
        _forget_lost_book(project, profile)
        status, progress = _follow(project, profile, jobs, slugs, cores=cores, slurm=slurm, book=wants_book)
    return _close(project, profile, status, progress, time.monotonic() - started, wants_book)


def _forget_lost_book(project: Project, profile: str) -> None:
    """Drop the stamp of a book whose pages were deleted by hand."""
    home = project.profile(profile)
    if not (home / "html" / "index.html").is_file():
        (home / "book.stamp").unlink(missing_ok=True)


def _follow(
    project: Project, profile: str, jobs: list[Job], slugs: list[str], *, cores: int, slurm: bool, book: bool
) -> tuple[int, Progress]:
    several = len({job.seed for job in jobs}) > 1
    names = {job.rule: f"{job.slug} seed {job.seed}" if several else job.slug for job in jobs}
    logs = {job.rule: project.root / job.log for job in jobs}
    logs["book"] = project.profile(profile) / "logs" / "book.log"
    progress = Progress(names, logs, say=lambda text: print(text, flush=True))
    full = project.profile(profile) / "logs" / "snakemake.log"
    full.parent.mkdir(parents=True, exist_ok=True)
    command = snakemake_command(project, profile, slugs, cores=cores, slurm=slurm, book=book)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.Popen(
        command,
        cwd=project.root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    with process, full.open("w", encoding="utf-8") as log:
        for line in process.stdout or ():
            log.write(line)
            progress.read(line.rstrip("\n"))
        progress.end()
    status = process.returncode
    if status and not progress.failed:
        print(full.read_text(encoding="utf-8")[-3000:], file=sys.stderr)
    return status, progress


def _close(
    project: Project, profile: str, status: int, progress: Progress, seconds: float, book: bool
) -> int:
    """Print the end of a build; return its exit status."""
    home = project.profile(profile)
    if status:
        culprits = (
            ", ".join(progress.names.get(rule, rule) for rule in progress.failed) or "the workflow itself"
        )
        print(f"\nFAILED: {culprits} (after {seconds:.0f} s). Repaired, `make` runs only what is missing.")
        return 1
    count = (
        f"{len(progress.done)} chapter runs in {seconds:.0f} s" if progress.done else "nothing to run again"
    )
    if book:
        board = home / "scoreboard.txt"
        print(f"\n{board.read_text(encoding='utf-8').rstrip()}\n" if board.is_file() else "")
        print(f"{count}. The book: {home / 'html' / 'index.html'}")
    else:
        print(f"{count}. Results: {home / 'results'}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Build from the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m echobook.pipeline.build", description=__doc__)
    parser.add_argument("--profile", default="default", choices=PROFILES)
    parser.add_argument("--slug", action="append", default=[], help="only this chapter (no book is built)")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--slurm", action="store_true", help="send chapters to a Slurm cluster")
    parser.add_argument("--no-book", action="store_true", help="run the chapters only")
    parser.add_argument("--root", type=Path)
    options = parser.parse_args(arguments)
    slugs = [slug.replace("_", "-") for slug in options.slug]
    try:
        return build(
            Project.at(options.root),
            options.profile,
            slugs,
            cores=options.cores,
            slurm=options.slurm,
            book=not options.no_book,
        )
    except PipelineError as error:
        print(f"cannot build: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
