"""Tidy frames of the scoreboard: one row a test of a finding, one row a test of a check. Figures, the
overview and the downloads are made of them."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from echobook.report.claims import Finding
from echobook.report.outcomes import CheckOutcome, FindingOutcome, TestOutcome
from echobook.report.scoreboard import Board

FINDING_COLUMNS = [
    "chapter", "paper", "finding", "origin", "statement", "verdict", "printed", "source", "test", "words",
    "unit", "estimate", "low", "high", "level", "decision", "direction", "bound", "smallest_effect",
    "paper_effect", "effect_ratio", "ratio_low", "ratio_high", "seeds",
]  # fmt: skip
CHECK_COLUMNS = [
    "chapter", "paper", "check", "statement", "passed", "test", "words", "unit", "worst", "relation", "limit",
    "seeds",
]  # fmt: skip


def findings_frame(boards: Sequence[Board]) -> pd.DataFrame:
    """Return one row a test of a finding; a finding without an outcome has one row without figures.

    `effect_ratio` is ours over the paper's effect, with its interval `ratio_low` to `ratio_high`.
    """
    rows = [row for one in boards for outcome in one.findings for row in _finding_rows(one, outcome)]
    return pd.DataFrame(rows, columns=FINDING_COLUMNS)


def _finding_rows(one: Board, outcome: FindingOutcome) -> list[dict[str, Any]]:
    finding = outcome.finding
    head = {"chapter": one.slug, "paper": one.claims.paper, "finding": finding.id, "origin": finding.origin}
    head |= {"statement": finding.statement, "verdict": outcome.verdict, **_printed(finding)}
    return [head | _test_cells(test) for test in outcome.tests] or [head]


def _printed(finding: Finding) -> dict[str, str]:
    return {"printed": finding.printed.text, "source": finding.printed.source}


def _test_cells(outcome: TestOutcome) -> dict[str, Any]:
    test = outcome.test
    low, high = ratio_interval(outcome)
    bound = " to ".join(map(str, test.bound)) if isinstance(test.bound, list) else test.bound
    return {
        "test": test.name, "words": test.words, "unit": test.unit, "estimate": outcome.estimate,
        "low": outcome.low, "high": outcome.high, "level": test.resampling.level,
        "decision": outcome.decision, "direction": test.direction, "bound": bound,
        "smallest_effect": test.smallest_effect, "paper_effect": test.paper_effect,
        "effect_ratio": outcome.effect_ratio, "ratio_low": low, "ratio_high": high,
        "seeds": len(outcome.seeds),
    }  # fmt: skip


def ratio_interval(outcome: TestOutcome) -> tuple[float | None, float | None]:
    """Return the ends of the effect ratio's interval, lower one first; None where there is none."""
    paper, null = outcome.test.paper_effect, outcome.test.null
    if paper is None or outcome.effect_ratio is None or outcome.low is None or outcome.high is None:
        return None, None
    ends = [(end - null) / (paper - null) for end in (outcome.low, outcome.high)]
    return min(ends), max(ends)


def checks_frame(boards: Sequence[Board]) -> pd.DataFrame:
    """Return one row a test of a check; a check without an outcome has one row without figures."""
    rows = [row for one in boards for outcome in one.checks for row in _check_rows(one, outcome)]
    return pd.DataFrame(rows, columns=CHECK_COLUMNS)


def _check_rows(one: Board, outcome: CheckOutcome) -> list[dict[str, Any]]:
    check = outcome.check
    head = {"chapter": one.slug, "paper": one.claims.paper, "check": check.id, "statement": check.statement}
    rows = []
    for test in outcome.tests:
        relation, limit = test.test.limit
        cells: dict[str, Any] = {"test": test.test.name, "words": test.test.words, "unit": test.test.unit}
        cells |= {"relation": relation, "limit": limit, "passed": test.passed}
        rows.append(head | cells | {"worst": test.worst, "seeds": len(test.seeds)})
    return rows or [head]
