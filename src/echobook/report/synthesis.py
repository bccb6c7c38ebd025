"""What all chapters together say: tidy frames over findings, effects, controls, cost, and what is open.

Pure functions of boards; `echobook.report.synthesis_tables` shows the frames. Findings are those of papers
and derived from their figures, unless a function says that questions of ours are counted too.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from echobook.report.claims_tests import CONTROLS
from echobook.report.outcomes import VERDICTS, Decision, FindingOutcome, TestOutcome, Verdict
from echobook.report.plan import plan_test
from echobook.report.plan_text import minutes_of
from echobook.report.scoreboard import Board

EMBEDDED = "echobook."  # the source of a generated data set is the module that makes it
UNDECIDED: tuple[Verdict, ...] = ("undecided", "not yet recorded", "not testable here")
DECISIONS: tuple[Decision, ...] = ("holds", "holds, smaller", "fails", "undecided")


@dataclass(frozen=True)
class Entry:
    """A chapter as the synthesis sees it: part of the book, venue with its year, board."""

    part: str
    venue: str
    board: Board

    @property
    def year(self) -> str:
        """The year of publication; 'no year' where the venue names none."""
        found = re.search(r"\b(19|20)\d\d\b", self.venue)
        return found[0] if found else "no year"

    @property
    def kind_of_data(self) -> str:
        """The papers' own data, another public set in their place, or generated data."""
        if self.board.claims.fidelity.data.grade in ("same", "smaller"):
            return "the paper's own"
        sets = [one for run in self.board.recorded for one in run.datasets]
        generated = bool(sets) and all(one.source.startswith(EMBEDDED) for one in sets)
        return "generated" if generated else "a public stand-in"

    @property
    def closeness(self) -> str:
        """On how many of the five sides the re-run is the paper's own set-up, in three classes."""
        grades = [grade.grade for _, grade in self.board.claims.fidelity]
        same = sum(grade == "same" for grade in grades)
        return f"{2 * (same // 2)} or {2 * (same // 2) + 1} of 5 sides the same"


GROUPS: dict[str, Callable[[Entry], str]] = {
    "part of the book": lambda entry: entry.part,
    "year": lambda entry: entry.year,
    "kind of data": lambda entry: entry.kind_of_data,
    "closeness": lambda entry: entry.closeness,
}


def verdicts_frame(entries: Sequence[Entry], by: str) -> pd.DataFrame:
    """Return one row a group with its papers, findings by verdict, and the share that is decided.

    `by`: a name in `GROUPS`. Columns: the group, `papers`, `findings`, each verdict, `decided` (a share, NaN
    without findings). Groups come in the order of their first chapter, years and closeness sorted.
    """
    key = GROUPS[by]
    names = list(dict.fromkeys(key(entry) for entry in entries))
    if by in ("year", "closeness"):
        names.sort()
    rows = [{by: name, **_counts([entry for entry in entries if key(entry) == name])} for name in names]
    return pd.DataFrame(rows, columns=[by, "papers", "findings", *VERDICTS, "decided"])


def _counts(entries: Sequence[Entry]) -> dict[str, Any]:
    verdicts = Counter(outcome.verdict for entry in entries for outcome in entry.board.of_paper)
    total = sum(verdicts.values())
    decided = total - sum(verdicts[name] for name in UNDECIDED)
    counts: dict[str, Any] = {name: verdicts[name] for name in VERDICTS}
    return {
        "papers": len(entries),
        "findings": total,
        **counts,
        "decided": decided / total if total else np.nan,
    }


def effects_frame(entries: Sequence[Entry], *, seed: int = 0, resamples: int = 2000) -> pd.DataFrame:
    """Return, for each kind of data and for all, our effects in multiples of the papers'.

    One row a group: `tests`, `papers`, the `median` ratio with a 95 % interval `low` to `high` that draws
    papers anew, and how many tests have a ratio of `at least one`, between (`smaller`), and
    `none or opposite`. NaN for an interval from fewer than three papers.
    """
    ratios = [
        (entry.board.slug, entry.kind_of_data, test.effect_ratio)
        for entry in entries
        for test in _tests(entry.board.findings)
        if test.effect_ratio is not None
    ]
    frame = pd.DataFrame(ratios, columns=["chapter", "kind of data", "ratio"])
    groups = [*((name, part) for name, part in frame.groupby("kind of data", sort=False)), ("all", frame)]
    return pd.DataFrame(
        [
            {"kind of data": name, **_ratio_summary(part, seed, resamples)}
            for name, part in groups
            if len(part)
        ],
        columns=["kind of data", "papers", "tests", "median", "low", "high", *RATIO_CLASSES],
    )


RATIO_CLASSES = ("at least one", "smaller", "none or opposite")


def _ratio_summary(part: pd.DataFrame, seed: int, resamples: int) -> dict[str, float | int]:
    ratio = part["ratio"].to_numpy(dtype=float)
    by_paper = [group["ratio"].to_numpy(dtype=float) for _, group in part.groupby("chapter", sort=True)]
    low, high = _median_interval(by_paper, seed, resamples)
    found = (ratio >= 1).sum(), ((ratio > 0) & (ratio < 1)).sum(), (ratio <= 0).sum()
    return {
        "papers": len(by_paper), "tests": len(ratio), "median": float(np.median(ratio)), "low": low,
        "high": high, **{name: int(count) for name, count in zip(RATIO_CLASSES, found, strict=True)},
    }  # fmt: skip


def _median_interval(by_paper: Sequence[np.ndarray], seed: int, resamples: int) -> tuple[float, float]:
    """Percentiles of the median over papers drawn with all their tests (a cluster bootstrap)."""
    if len(by_paper) < 3:
        return np.nan, np.nan
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(by_paper), size=(resamples, len(by_paper)))
    medians = [np.median(np.concatenate([by_paper[index] for index in row])) for row in drawn]
    low, high = np.percentile(medians, [2.5, 97.5])
    return float(low), float(high)


def controls_frame(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return, for each kind of control, how the tests of a method against it came out (ours included).

    Columns: `control`, `tests`, each decision, `chapters` (where the control was not beaten).
    """
    rows = []
    for kind in CONTROLS:
        found = [
            (entry, test)
            for entry in entries
            for test in _tests(entry.board.findings)
            if test.test.control == kind
        ]
        if found:
            counts = Counter(test.decision for _, test in found)
            lost = dict.fromkeys(entry.board.slug for entry, test in found if test.decision == "fails")
            decisions: dict[str, Any] = {name: counts[name] for name in DECISIONS}
            rows.append(
                {"control": kind, "tests": len(found), **decisions, "chapters": ", ".join(lost) or "none"}
            )
    return pd.DataFrame(rows, columns=["control", "tests", *DECISIONS, "chapters"])


def cost_frame(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return CPU minutes a seed, seeds, CPU hours and peak memory (MiB) of the recorded chapters."""
    rows = []
    for entry in entries:
        runs = entry.board.recorded
        if runs:
            minutes = minutes_of(runs)
            peak = max(run.cost.peak_memory_mib for run in runs)
            rows.append((entry.board.slug, len(runs), minutes, minutes * len(runs) / 60, peak))
    columns = ["chapter", "seeds", "CPU minutes a seed", "CPU hours", "peak memory (MiB)"]
    return pd.DataFrame(rows, columns=columns)


def open_frame(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return the undecided findings: chapter, finding, the test that would take most, and what it takes.

    `seeds` and `CPU hours` are those of the plan at the planned effect (`echobook.report.plan`); where no
    number of seeds is enough they are missing, and `why` says so.
    """
    rows = [
        row
        for entry in entries
        for outcome in entry.board.of_paper
        if outcome.verdict == "undecided"
        for row in [_what_it_takes(entry, outcome)]
    ]
    columns = ["chapter", "finding", "statement", "anchor", "test", "seeds now", "seeds", "CPU hours", "why"]
    return pd.DataFrame(rows, columns=columns)


def _what_it_takes(entry: Entry, outcome: FindingOutcome) -> dict[str, Any]:
    runs = list(entry.board.recorded)
    still = [test.test for test in outcome.tests if test.decision == "undecided"]
    plans = [plan_test(outcome.finding, test, runs) for test in still]
    hardest = max(plans, key=lambda plan: np.inf if plan.seeds is None else plan.seeds)
    seeds = hardest.seeds
    return {
        "chapter": entry.board.slug, "finding": outcome.finding.id, "statement": outcome.finding.statement,
        "anchor": outcome.finding.anchor, "test": hardest.test.words, "seeds now": len(runs), "seeds": seeds,
        "CPU hours": None if seeds is None else seeds * minutes_of(runs) / 60,
        "why": _why(hardest.seeds, hardest.reason, len(runs)),
    }  # fmt: skip


def _why(seeds: int | None, reason: str, now: int) -> str:
    if seeds is None:
        return reason
    return "more seeds" if seeds > now else "the true effect is likely smaller than the one planned for"


def _tests(outcomes: Sequence[FindingOutcome]) -> list[TestOutcome]:
    return [test for outcome in outcomes for test in outcome.tests]
