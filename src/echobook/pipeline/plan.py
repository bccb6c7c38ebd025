"""What a build consists of: one job for each published chapter and seed of a profile, with everything it
depends on.

The Snakefile turns each job into a rule. Files are inputs; what is only part of a file (the profile's section
of the parameter file, the registry's rows of the profile's data sets) is a digest, so that an edit elsewhere
in that file runs nothing again.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from echobook.pipeline.chapters import ChapterEntry, published_chapters
from echobook.pipeline.errors import PipelineError
from echobook.pipeline.parameters import ProfileSettings, read_profile
from echobook.pipeline.project import Project
from echobook.report.closure import closure
from echobook.report.errors import ReportError

CAP_MB = 8000  # a run's private memory is cut off here, unless its profile says otherwise
LEAST_MB = 1500  # the smallest request: the kernel, the runner and the engine, idle, take half of it
_HEADROOM = 1.5  # what is asked for above the highest peak on record
_BOOK_FOLDERS = ("book", "data/claims", "data/recorded", "data/cards")
_BOOK_FILES = ("_config.yml", "_toc.yml", "constraints.txt", "data/registry.csv")


@dataclass(frozen=True)
class Job:
    """One run of one chapter; paths are relative to the repository's root. A kernel page has no `result`.

    `memory_mb` is what a cluster is asked for, `cap_mb` where the run is cut off, both in MiB.
    """

    rule: str
    slug: str
    seed: int
    inputs: tuple[str, ...]
    executed: str
    result: str
    log: str
    digest: str
    seconds: int
    memory_mb: int
    cap_mb: int


def registry_rows(project: Project, datasets: tuple[str, ...]) -> list[list[str]]:
    """Return the rows of ``data/registry.csv`` that belong to `datasets`, sorted; PipelineError for an
    unknown one.
    """
    path = project.root / "data" / "registry.csv"
    if not datasets:
        return []
    if not path.is_file():
        raise PipelineError(
            f"no {project.relative(path)}, but data sets are asked for: {', '.join(datasets)}"
        )
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.reader(stream) if row and row[0] in datasets]
    if missing := sorted(set(datasets) - {row[0] for row in rows}):
        raise PipelineError(f"{project.relative(path)} has no row of data set {missing[0]!r}")
    return sorted(rows)


def settings_digest(project: Project, settings: ProfileSettings) -> str:
    """Return the sha256 of a profile's values, seeds and registry rows."""
    rows = registry_rows(project, settings.datasets)
    text = json.dumps([asdict(settings), rows], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def requested_memory(project: Project, slug: str, profile: str, settings: ProfileSettings) -> int:
    """Return the MiB to ask a cluster for.

    What the profile says, if it says so; else one and a half times the highest peak that the profile's
    records measured, in full hundreds, and no less than `LEAST_MB`. Smoke runs, which are never recorded,
    ask for that least; another profile without a record asks for the cap.
    """
    if settings.memory_mb:
        return settings.memory_mb
    files = sorted(project.recorded(profile, slug).glob("seed-*.json"))
    peaks = [json.loads(path.read_text(encoding="utf-8"))["cost"]["peak_memory_mib"] for path in files]
    if not peaks:
        return LEAST_MB if profile == "smoke" else CAP_MB
    return max(LEAST_MB, 100 * math.ceil(_HEADROOM * max(peaks) / 100))


def imported_files(path: Path, source: Path) -> list[Path]:
    """Return the sources that a file imports. Raises PipelineError, naming file and line, for no Python."""
    try:
        return closure(path, source)
    except ReportError as error:
        raise PipelineError(str(error)) from error


def chapter_inputs(project: Project, entry: ChapterEntry) -> tuple[str, ...]:
    """Return what a chapter's run depends on: notebook, imported sources, runner, claims, records, lock."""
    source = project.root / "src"
    notebook = project.root / entry.notebook
    files = {notebook, *imported_files(notebook, source)}
    runner = source / "echobook" / "pipeline" / "run_notebook.py"
    if runner.is_file():
        files |= {runner, *imported_files(runner, source)}
    files |= {project.claims(entry.slug), project.root / "constraints.txt"}
    files |= set((project.root / "data" / "recorded").glob(f"*/{entry.slug}/*.json"))
    return tuple(sorted(project.relative(path) for path in files if path.is_file()))


def plan(project: Project, profile: str, slugs: list[str] | None = None) -> list[Job]:
    """Return the jobs of `profile`, in the registry's order.

    Args:
        project: repository; its build folder must be below the root.
        profile: profile name. A chapter without this profile is left out, unless the profile is ``default``.
        slugs: only these chapters.
    """
    jobs: list[Job] = []
    for entry in published_chapters(project):
        if slugs and entry.slug not in slugs:
            continue
        try:
            settings = read_profile(project, entry.slug, profile)
        except PipelineError:
            if profile == "default" or slugs:
                raise
            continue
        jobs.extend(_jobs(project, entry, profile, settings))
    return jobs


def _jobs(project: Project, entry: ChapterEntry, profile: str, settings: ProfileSettings) -> list[Job]:
    inputs = chapter_inputs(project, entry)
    digest = settings_digest(project, settings)
    first = settings.seeds[0]
    memory = requested_memory(project, entry.slug, profile, settings)

    def job(seed: int) -> Job:
        return Job(
            rule=f"{entry.slug.replace('-', '_')}_seed_{seed}",
            slug=entry.slug,
            seed=seed,
            inputs=inputs,
            executed=project.relative(project.executed(profile, entry.notebook, seed, first)),
            result=project.relative(project.result(profile, entry.slug, seed)),
            log=project.relative(project.log(profile, entry.slug, seed)),
            digest=digest,
            seconds=int(max(600, 600 * settings.minutes)),
            memory_mb=memory,
            cap_mb=settings.memory_mb or CAP_MB,
        )

    return [job(seed) for seed in settings.seeds]


def book_inputs(project: Project) -> tuple[str, ...]:
    """Return the files that the pages are made of besides the runs: prose, settings, records, page code."""
    files = {project.root / name for name in _BOOK_FILES}
    for folder in _BOOK_FOLDERS:
        files |= set((project.root / folder).rglob("*"))
    source = project.root / "src"
    for path in sorted((source / "echobook" / "sphinx").glob("*.py")):
        files |= {path, *imported_files(path, source)}
    files |= {project.root / entry.notebook for entry in published_chapters(project)}
    return tuple(sorted(project.relative(path) for path in files if _counts(path)))


def _counts(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and "__pycache__" not in path.parts
