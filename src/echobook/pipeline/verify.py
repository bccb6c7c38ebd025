"""Run a chapter again and compare with its recorded results, or keep new runs as recorded results.

What counts as within tolerance, and what may be recorded, is decided by the report package.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from echobook.pipeline.errors import PipelineError
from echobook.pipeline.project import Project
from echobook.pipeline.run import prepare
from echobook.pipeline.runner import run_chapter

if TYPE_CHECKING:
    from echobook.report.results import Results


def run_once(project: Project, slug: str, profile: str, seed: int, build: Path) -> Results:
    """Run into the build folder `build` and return the results."""
    from echobook.report.results import read_results

    run = prepare(Project.at(project.root, build), slug, profile, seed)
    run_chapter(run)
    return read_results(run.result, slug=run.entry.slug, profile=profile, seed=seed)


def verify(project: Project, slug: str, profile: str, seeds: list[int] | None = None) -> int:
    """Run each recorded seed again and print what differs; return 1 when a metric is out of tolerance."""
    from echobook.report import verify as report
    from echobook.report.records import load_recorded

    run = prepare(project, slug, profile)
    records = load_recorded(project.root, run.entry.slug, profile)
    if not records:
        raise PipelineError(
            f"chapter {run.entry.slug} has no recorded {profile} results",
            "--profile public, or `echobook record`",
        )
    outside = 0
    for seed in [known.seed for known in records] if seeds is None else seeds:
        with tempfile.TemporaryDirectory(prefix="eb-verify-") as folder:
            found = report.verify(run_once(project, run.entry.slug, profile, seed, Path(folder)), records)
        print(found.report(), flush=True)
        outside += not found.within
    return int(outside > 0)


def record(project: Project, slug: str, profile: str, seeds: list[int] | None = None) -> int:
    """Run `seeds` (default: all of the profile) and keep the results in ``data/recorded``; all or none."""
    from echobook.report import record as report

    if profile == "smoke":
        raise PipelineError("a smoke run is no evidence and is never recorded", "--profile public")
    first = prepare(project, slug, profile)
    used = list(first.settings.seeds) if seeds is None else seeds
    if strange := sorted(set(used) ^ set(first.settings.seeds)):
        raise PipelineError(
            f"seed {strange[0]}: the seeds of {profile} are {first.settings.seeds}, and all are recorded"
        )
    runs = [prepare(project, slug, profile, seed) for seed in used]
    for run in runs:
        print(f"{run.name}: {run_chapter(run):.0f} s", flush=True)
    kept = report.record(
        first.entry.slug, profile, used, project.build, project.root / "data" / "recorded", root=project.root
    )
    for path in kept:
        print(f"recorded {project.relative(path)}")
    return 0
