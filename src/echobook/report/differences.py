"""What changed between two states of the record: verdicts, checks, and figures beyond tolerance, in Markdown.

A figure is the mean over the recorded seeds. It changed when the later mean lies outside the range that the
earlier record allows a new mean: its 95 % t interval, or a relative difference for a single seed; measured
times are not compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from echobook.metrics.statistics import mean_interval_t
from echobook.report.display import figure
from echobook.report.results import Results
from echobook.report.scoreboard import Board, scoreboard
from echobook.report.verify import RELATIVE


@dataclass(frozen=True)
class Change:
    """One thing that differs: the chapter, what it is, and its two states in words."""

    chapter: str
    what: str
    before: str
    after: str


def changes(before: Path, after: Path) -> tuple[list[Change], list[Change]]:
    """Return the changed verdicts and checks, and the changed figures, of two trees."""
    old, new = _boards(before), _boards(after)
    verdicts = [
        change for slug in sorted(old | new) for change in verdict_changes(old.get(slug), new.get(slug))
    ]
    both = sorted(old.keys() & new.keys())
    figures = [change for slug in both for change in figure_changes(old[slug], new[slug])]
    return verdicts, figures


def _boards(root: Path) -> dict[str, Board]:
    return {board.slug: board for board in scoreboard(root)}


def _states(board: Board | None) -> dict[str, tuple[str, str]]:
    """Words and state of each finding and check, by id."""
    if board is None:
        return {}
    checked = {True: "passed", False: "failed", None: "not yet recorded"}
    found = {one.finding.id: (one.finding.statement, str(one.verdict)) for one in board.findings}
    return found | {one.check.id: (one.check.statement, checked[one.passed]) for one in board.checks}


def verdict_changes(before: Board | None, after: Board | None) -> list[Change]:
    """Return the findings and checks of a chapter whose state differs; one that is new or gone says so."""
    old, new = _states(before), _states(after)
    known = after or before
    slug = known.slug if known else ""
    rows = []
    for name in sorted(old | new):
        was, now = old.get(name), new.get(name)
        if was is None or now is None or was[1] != now[1]:
            words = (now or was or ("", ""))[0]
            states = ("not stated" if state is None else state[1] for state in (was, now))
            rows.append(Change(slug, f"{name}. {words}", *states))
    return rows


def figure_changes(before: Board, after: Board) -> list[Change]:
    """Return the figures whose later mean is outside the range of the earlier record."""
    if not before.recorded or not after.recorded:
        return []
    rows = []
    for name in sorted(before.recorded[0].metrics.keys() & after.recorded[0].metrics.keys()):
        if before.recorded[0].metrics[name].timing:
            continue
        low, high = _range(_values(before.recorded, name))
        mean = sum(_values(after.recorded, name)) / len(after.recorded)
        if not low <= mean <= high:
            unit = before.recorded[0].metrics[name].unit
            rows.append(
                Change(before.slug, f"`{name}`", f"{_span(low, high)} {unit}".strip(), figure(mean, 4))
            )
    return rows


def _values(runs: Sequence[Results], name: str) -> list[float]:
    return [run.value(name) for run in runs]


def _range(values: Sequence[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    slack = RELATIVE * abs(mean)
    if len(values) > 1:
        interval = mean_interval_t(list(values))
        return min(interval.low, mean - slack), max(interval.high, mean + slack)
    return mean - slack, mean + slack


def _span(low: float, high: float) -> str:
    return f"[{figure(low, 4)}, {figure(high, 4)}]"


def differences_page(names: tuple[str, str], found: tuple[Sequence[Change], Sequence[Change]]) -> str:
    """Return the page: `names` are those of the two releases, `found` what `changes` gave."""
    verdicts, figures = found
    parts = [
        f"# From {names[0]} to {names[1]}",
        f"Verdicts and checks changed: {len(verdicts)}; figures beyond tolerance: {len(figures)}.",
        *_table("Verdicts and checks", {"Statement": "what", "Before": "before", "After": "after"}, verdicts),
        *_table("Figures", {"Figure": "what", "Range before": "before", "Mean after": "after"}, figures),
    ]
    return "\n\n".join(parts) + "\n"


def _table(title: str, columns: Mapping[str, str], rows: Sequence[Change]) -> list[str]:
    if not rows:
        return []
    head = f"| Chapter | {' | '.join(columns)} |\n| {' | '.join('---' for _ in range(len(columns) + 1))} |"
    cells = (" | ".join([row.chapter, *(getattr(row, field) for field in columns.values())]) for row in rows)
    return [f"## {title}", "\n".join([head, *(f"| {line} |" for line in cells)])]
