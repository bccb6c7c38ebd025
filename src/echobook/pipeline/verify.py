"""Run a chapter again and compare with its recorded results, or keep new runs as recorded results."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from echobook.pipeline.errors import PipelineError
from echobook.pipeline.project import Project
from echobook.pipeline.runner import place, prepare, run_chapter

if TYPE_CHECKING:
    from echobook.report.results import Results

RELATIVE = 1e-6
"""Two values of one metric count as equal within this relative distance (last bits differ between machines).
"""


@dataclass(frozen=True)
class Compared:
    """One metric of a new run beside its recorded value."""

    name: str
    recorded: float
    now: float
    state: str  # equal: to the last bit; within: inside tolerance or the recorded seeds' range; outside


def compare(recorded: Results, now: Results, spread: dict[str, tuple[float, float]]) -> list[Compared]:
    """Return every metric of either run, compared.

    Args:
        recorded: the committed run.
        now: the new run with the same seed and profile.
        spread: metric -> (lowest, highest) recorded value over the seeds; a new value inside it is
            ``within``.

    Raises:
        PipelineError: the runs do not hold the same metrics.
    """
    if strange := sorted(recorded.metrics.keys() ^ now.metrics.keys()):
        raise PipelineError(f"chapter {now.slug}: metrics differ from the record: {', '.join(strange[:5])}")
    return [_state(name, recorded.value(name), now.value(name), spread) for name in sorted(now.metrics)]


def _state(name: str, old: float, new: float, spread: dict[str, tuple[float, float]]) -> Compared:
    low, high = spread.get(name, (old, old))
    if old == new:
        state = "equal"
    elif abs(old - new) <= RELATIVE * max(abs(old), abs(new)) or low <= new <= high:
        state = "within"
    else:
        state = "outside"
    return Compared(name, old, new, state)


def run_once(project: Project, slug: str, profile: str, seed: int, build: Path) -> Results:
    """Run into the build folder `build` and return the results."""
    from echobook.report.results import read_results

    run = prepare(Project.at(project.root, build), slug, profile, seed)
    run_chapter(run)
    return read_results(run.result, slug=run.entry.slug, profile=profile, seed=seed)


def verify(project: Project, slug: str, profile: str, seeds: list[int] | None = None) -> int:
    """Run each recorded seed again and print what differs; return 1 when a metric is out of tolerance."""
    from echobook.report.records import load_recorded

    run = prepare(project, slug, profile)
    records = load_recorded(project.root, run.entry.slug, profile)
    if not records:
        raise PipelineError(
            f"chapter {run.entry.slug} has no recorded {profile} results",
            "--profile public, or `echobook record`",
        )
    names = records[0].metrics
    spread = {n: (min(r.value(n) for r in records), max(r.value(n) for r in records)) for n in names}
    outside = 0
    for record_ in records:
        if seeds is not None and record_.seed not in seeds:
            continue
        with tempfile.TemporaryDirectory(prefix="eb-verify-") as folder:
            now = run_once(project, run.entry.slug, profile, record_.seed, Path(folder))
        outside += _report(compare(record_, now, spread), record_.seed)
    print("outside tolerance" if outside else "within tolerance")
    return int(outside > 0)


def _report(found: list[Compared], seed: int) -> int:
    """Print one line a seed and one for each metric that is not equal; return how many are outside."""
    equal = sum(item.state == "equal" for item in found)
    print(f"seed {seed}: {equal} of {len(found)} metrics equal to the last bit")
    for item in found:
        if item.state != "equal":
            print(f"  {item.state:<8} {item.name}: recorded {item.recorded!r}, now {item.now!r}")
    return sum(item.state == "outside" for item in found)


def record(project: Project, slug: str, profile: str, seeds: list[int] | None = None) -> int:
    """Run `seeds` (default: all of the profile) and keep the results in ``data/recorded``; all or none."""
    from echobook.report.records import check_recordable
    from echobook.report.results import read_results

    if profile == "smoke":
        raise PipelineError("a smoke run is no evidence and is never recorded", "--profile public")
    first = prepare(project, slug, profile)
    used = list(first.settings.seeds) if seeds is None else seeds
    if strange := sorted(set(used) - set(first.settings.seeds)):
        raise PipelineError(
            f"seed {strange[0]} is not a seed of the profile {profile}: {first.settings.seeds}"
        )
    runs = [prepare(project, slug, profile, seed) for seed in used]
    for run in runs:
        print(f"{run.name}: {run_chapter(run):.0f} s", flush=True)
    for run in runs:
        results = read_results(run.result, slug=run.entry.slug, profile=profile, seed=run.seed)
        check_recordable(results, run.result.stat().st_size, str(run.result), project.root)
    for run in runs:
        target = project.recorded(profile, run.entry.slug) / run.result.name
        place(run.result.read_text(encoding="utf-8"), target)
        print(f"recorded {project.relative(target)}")
    return 0
