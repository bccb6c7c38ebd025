"""Is a chapter reproducible? Run it twice and compare; then once more with other processor instructions.

Two runs on one machine must agree in every metric to the last bit and in the canonical notebook byte for byte
(what pages mark as volatile, like seconds, aside). A third run with ``ATEN_CPU_CAPABILITY=default`` takes
other instruction paths, so sums are formed in another order and last bits may differ; each metric must then
agree within `TOLERANCE`.
"""

from __future__ import annotations

import dataclasses
import difflib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from echobook.pipeline.canonical import comparable
from echobook.pipeline.project import Project
from echobook.pipeline.run import prepare
from echobook.pipeline.runner import run_chapter

if TYPE_CHECKING:
    from echobook.report.results import Results

TOLERANCE = 0.02
"""Largest allowed |difference| / max(|a|, |b|, 1) between instruction sets: a training run multiplies last
bits, and what is left must stay far below what a verdict could turn on.
"""


@dataclass(frozen=True)
class Outcome:
    """One finished run: its results and the comparable text of its notebook."""

    results: Results
    notebook: str


def run_in(project: Project, slug: str, profile: str, seed: int | None, **environment: str) -> Outcome:
    """Run in a fresh build folder with extra environment variables for the kernel."""
    from echobook.report.results import read_results

    with tempfile.TemporaryDirectory(prefix="eb-twice-") as folder:
        run = prepare(Project.at(project.root, Path(folder)), slug, profile, seed)
        run = dataclasses.replace(run, environment=environment)
        run_chapter(run)
        results = read_results(run.result, slug=run.entry.slug, profile=profile, seed=run.seed)
        return Outcome(results, comparable(run.executed.read_text(encoding="utf-8")))


def compare_bits(one: Outcome, other: Outcome) -> list[str]:
    """Return what differs between two runs, one line each; empty when they are equal."""
    from echobook.report.results import differences

    found = differences(one.results, other.results)
    if one.notebook != other.notebook:
        lines = difflib.unified_diff(one.notebook.splitlines(), other.notebook.splitlines(), lineterm="", n=0)
        changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        found.append("notebook: " + " | ".join(line.strip()[:120] for line in changed[:6]))
    return found


def compare_tolerance(one: Results, other: Results, tolerance: float = TOLERANCE) -> list[str]:
    """Return the metrics further apart than `tolerance` (see its description), timing metrics aside."""
    found = [f"{name}: only in one run" for name in sorted(one.metrics.keys() ^ other.metrics.keys())]
    for name in sorted(one.metrics.keys() & other.metrics.keys()):
        if one.metrics[name].timing and other.metrics[name].timing:
            continue
        left, right = one.value(name), other.value(name)
        if abs(left - right) > tolerance * max(abs(left), abs(right), 1.0):
            found.append(f"{name}: {left!r} against {right!r}")
    return found


def twice(project: Project, slug: str, profile: str, seed: int | None = None) -> int:
    """Run three times, print the verdicts, return 1 when one of them is bad."""
    first = run_in(project, slug, profile, seed)
    print("first run done", flush=True)
    bits = compare_bits(first, run_in(project, slug, profile, seed))
    count = len(first.results.metrics)
    print(
        f"run twice: {count} metrics and the notebook are equal to the last bit"
        if not bits
        else "run twice: DIFFERS"
    )
    other = run_in(project, slug, profile, seed, ATEN_CPU_CAPABILITY="default")
    same = sum(
        first.results.metrics[name] == other.results.metrics.get(name) for name in first.results.metrics
    )
    apart = compare_tolerance(first.results, other.results)
    print(f"other instructions: {same} of {count} metrics equal, {len(apart)} beyond {TOLERANCE:g}")
    for line in [*bits, *apart]:
        print(f"  {line}")
    return int(bool(bits or apart))
