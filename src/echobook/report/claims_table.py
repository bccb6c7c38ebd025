"""The table of findings and checks on a chapter's page: the paper's figure, the recorded one, this run's."""

import html
from collections.abc import Sequence

import pandas as pd

from echobook.report.claims import Check, Claims, Finding
from echobook.report.display import (
    DECISIONS,
    badge,
    check_badge,
    check_text,
    figures_text,
    outcome_text,
    seeds_text,
    volatile,
)
from echobook.report.outcomes import CheckOutcome, FindingOutcome
from echobook.report.results import Results
from echobook.report.scoreboard import printed_text
from echobook.report.verdicts import judge_check, judge_checks, judge_finding, judge_findings

NOTHING = "not yet recorded"


def claims_frame(claims: Claims, recorded: Sequence[Results], build: Sequence[Results]) -> pd.DataFrame:
    """Return the chapter's table of findings and checks in HTML; `build` are the results of the run at hand.

    Figures of this run that depend on the machine's speed are marked as volatile.
    """
    rows = []
    for outcome in judge_findings(claims, recorded):
        finding = outcome.finding
        now = judge_finding(finding, _with(finding, build))
        shown = finding_lines(outcome) or [finding.not_testable or NOTHING]
        cells = printed_text(finding.printed), shown, run_lines(now), badge(outcome.verdict)
        rows.append(_cells(finding, *cells, build))
    for checked in judge_checks(claims, recorded):
        check = judge_check(checked.check, _with(checked.check, build))
        shown = check_lines(checked) or [NOTHING]
        cells = "a check", shown, check_lines(check), check_badge(checked.passed)
        rows.append(_cells(checked.check, *cells, build))
    return pd.DataFrame(rows)


def finding_lines(outcome: FindingOutcome) -> list[str]:
    """Return one line a test: its decision as a shape, words, figures; the seeds behind the last one."""
    lines = [f"{DECISIONS[test.decision]} {outcome_text(test)}" for test in outcome.tests]
    return [*lines[:-1], f"{lines[-1]} ({seeds_text(len(outcome.tests[-1].seeds))})"] if lines else []


def run_lines(outcome: FindingOutcome) -> list[str]:
    """Return the figures of a run at hand, one line a test, with words where there are several."""
    shown = outcome_text if len(outcome.tests) > 1 else figures_text
    return [shown(test) for test in outcome.tests]


def check_lines(outcome: CheckOutcome) -> list[str]:
    """Return one line a test of a check."""
    return [check_text(test) for test in outcome.tests]


def claim_link(statement: Finding | Check) -> str:
    """Return a finding or check in HTML: its id, linked to the cell that shows it, statement, whose it is."""
    link = f'<a href="#{statement.anchor}">{html.escape(statement.id)}</a>'
    ours = " <small>(our question)</small>" if getattr(statement, "origin", "") == "ours" else ""
    return f"{link} {html.escape(statement.statement)}{ours}"


def _cells(
    statement: Finding | Check,
    printed: str,
    recorded: list[str],
    now: list[str],
    mark: str,
    build: Sequence[Results],
) -> dict[str, str]:
    timed = _timed(statement, build)
    return {
        "claim": claim_link(statement),
        "paper": html.escape(printed),
        "recorded [interval]": stacked([html.escape(line) for line in recorded]),
        "this run": stacked([volatile(line) if timed else html.escape(line) for line in now or ["–"]]),
        "verdict": mark,
    }


def stacked(lines: Sequence[str]) -> str:
    """Return pieces of HTML, each on a line of its own."""
    if len(lines) == 1:
        return lines[0]
    return "".join(f'<span class="figure-line">{line}</span>' for line in lines)


def _with(statement: Finding | Check, build: Sequence[Results]) -> list[Results]:
    """The runs that recorded all metrics that the statement needs."""
    return [results for results in build if set(statement.metrics) <= results.metrics.keys()]


def _timed(statement: Finding | Check, build: Sequence[Results]) -> bool:
    names = set(statement.metrics)
    return any(results.metrics[name].timing for results in build for name in names & results.metrics.keys())
