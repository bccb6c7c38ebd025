"""Kernel pages: notebooks in ``notebooks/kernels/`` that teach a shared kernel beside its code.

A kernel page judges no paper: it has no claims, no parameters cell and no results file; its data are in its
cells, or in `data/kernels/<name>.csv`, which a script of `bench/` makes. It is executed by the chapters'
runner under the chapters' rules (fresh kernel, one thread, no network, every cell completed), in every
profile alike, and its executed copy is what the book shows. Its slug is ``kernels/<name>``, with hyphens.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from echobook.pipeline.chapters import ChapterEntry
from echobook.pipeline.errors import PipelineError
from echobook.pipeline.parameters import ProfileSettings
from echobook.pipeline.plan import LEAST_MB, Job, chapter_inputs
from echobook.pipeline.project import PROFILES, Project
from echobook.pipeline.run import Limits, Run

PREFIX = "kernels/"
FOLDER = "notebooks/kernels"
SECONDS, CAP_MB = 600, 4000


def is_page(slug: str) -> bool:
    """Say whether a slug names a kernel page."""
    return slug.startswith(PREFIX)


def read_pages(project: Project) -> list[ChapterEntry]:
    """Return the kernel pages by name; none where there is no such folder."""
    files = sorted((project.root / FOLDER).glob("*.py"))
    return [_entry(path.stem) for path in files]


def _entry(stem: str) -> ChapterEntry:
    slug = PREFIX + stem.replace("_", "-")
    return ChapterEntry(slug, "kernels", slug, f"{FOLDER}/{stem}.py", "", "published")


def prepare_page(project: Project, slug: str, profile: str = "default", limits: Limits | None = None) -> Run:
    """Return the run of a kernel page; nothing is executed or written.

    Raises:
        PipelineError: an unknown page (the known ones are named) or profile.
    """
    pages = {entry.slug: entry for entry in read_pages(project)}
    wanted = slug.replace("_", "-")
    if wanted not in pages:
        raise PipelineError(f"no kernel page is called {slug!r}", f"one of: {', '.join(pages) or 'none'}")
    if profile not in PROFILES:
        raise PipelineError(f"no profile is called {profile!r}", f"one of: {', '.join(PROFILES)}")
    settings = ProfileSettings((0,), {}, memory_mb=CAP_MB)
    return Run(project, pages[wanted], profile, 0, {}, settings, limits or Limits(), results=False)


def plan_pages(project: Project, profile: str, slugs: list[str] | None = None) -> list[Job]:
    """Return one job for each kernel page (only for `slugs`, if there are any); their `result` is empty."""
    entries = [entry for entry in read_pages(project) if not slugs or entry.slug in slugs]
    return [_job(project, profile, entry) for entry in entries]


def _inputs(project: Project, entry: ChapterEntry) -> tuple[str, ...]:
    table = project.root / "data" / "kernels" / f"{Path(entry.notebook).stem}.csv"
    kept = (project.relative(table),) if table.is_file() else ()
    return tuple(sorted((*chapter_inputs(project, entry), *kept)))


def _job(project: Project, profile: str, entry: ChapterEntry) -> Job:
    return Job(
        rule=entry.slug.replace("/", "_").replace("-", "_"),
        slug=entry.slug,
        seed=0,
        inputs=_inputs(project, entry),
        executed=project.relative(project.executed(profile, entry.notebook, 0, 0)),
        result="",
        log=project.relative(project.log(profile, entry.slug, 0)),
        digest=hashlib.sha256(entry.slug.encode()).hexdigest(),
        seconds=SECONDS,
        memory_mb=LEAST_MB,
        cap_mb=CAP_MB,
    )
