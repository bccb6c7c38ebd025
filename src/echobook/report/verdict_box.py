"""The box that opens a chapter: verdicts, how close the re-run is to the paper, checks, and the cost."""

import html
from collections.abc import Sequence

import numpy as np

from echobook.report.claims import Check, Claims, Coverage, Fidelity, Finding
from echobook.report.display import Html, badge, check_badge
from echobook.report.outcomes import CheckOutcome, FindingOutcome
from echobook.report.results import Results
from echobook.report.scoreboard import Board, plural, totals, totals_text

GRADES = {"same": "●", "smaller": "◐", "stand-in": "◇", "inferred": "?"}
SIDES = ("data", "model", "training", "evaluation", "details")


def cost_text(results: Sequence[Results]) -> str:
    """Return the mean cost of a recorded run: CPU seconds, memory, parameters."""
    if not results:
        return "Cost: not yet recorded."
    cpu = np.mean([result.cost.whole_cpu_seconds for result in results])
    memory = max(result.cost.peak_memory_mib for result in results)
    counts = sum(results[0].parameter_counts.values())
    trained = f", {counts:,} parameters" if counts else ""
    return f"Cost of one recorded run: {cpu:,.0f} CPU-s, {memory:,.0f} MiB of memory{trained}."


def statement_line(mark: str, statement: Finding | Check) -> str:
    """Return a finding or check as an item: mark, linked id, words."""
    link = f'<a href="#{statement.anchor}">{html.escape(statement.id)}</a>'
    return f"<li>{mark} {link} {html.escape(statement.statement)}</li>"


def verdict_list(title: str, outcomes: Sequence[FindingOutcome], note: str = "") -> str:
    """Return findings under a title (and a note), one a line; nothing when there are none."""
    lines = [statement_line(badge(outcome.verdict), outcome.finding) for outcome in outcomes]
    return f"<p><strong>{title}</strong>{note}</p><ul>{''.join(lines)}</ul>" if lines else ""


def check_list(checks: Sequence[CheckOutcome]) -> str:
    """Return the checks, folded unless one failed."""
    if not checks:
        return ""
    passed = sum(check.passed is True for check in checks)
    is_open = " open" if any(check.passed is False for check in checks) else ""
    lines = [statement_line(check_badge(outcome.passed), outcome.check) for outcome in checks]
    return (
        f"<details{is_open}><summary>{plural(passed, 'check')} of our own code passed of {len(checks)}"
        f"</summary><ul>{''.join(lines)}</ul></details>"
    )


def grade_marks(fidelity: Fidelity) -> list[tuple[str, str, str, str]]:
    """Return for each side of a re-run: side, sign, grade, and a few words."""
    grades = [(side, getattr(fidelity, side)) for side in SIDES]
    return [(side, GRADES[grade.grade], grade.grade, grade.words) for side, grade in grades]


def fidelity_list(claims: Claims) -> str:
    """Return how close the re-run is to the paper: grades in the open, words and parts folded."""
    marks = grade_marks(claims.fidelity)
    short = ", ".join(f"{side} {sign} {grade}" for side, sign, grade, _ in marks)
    lines = [f"<li>{side}: {grade} – {html.escape(words)}</li>" for side, _, grade, words in marks]
    lines += [_part_line(part) for part in claims.coverage if part.status != "done"]
    done = [html.escape(part.part) for part in claims.coverage if part.status == "done"]
    lines += [f"<li>done: {'; '.join(done)}</li>"] if done else []
    return f"<details><summary>How close: {short}</summary><ul>{''.join(lines)}</ul></details>"


def _part_line(part: Coverage) -> str:
    return f"<li>{part.status}: {html.escape(part.part)} ({part.kind}) – {html.escape(part.why)}</li>"


def verdict_box(one: Board) -> Html:
    """Return the box: findings of the paper, ours, closeness, checks, totals, cost."""
    runs = plural(len(one.recorded), "recorded public run") if one.recorded else "no recorded run yet"
    said = html.escape(totals_text(totals([one]), whose="the paper"))
    return Html(
        '<section class="echobook-verdict-box" aria-label="Verdicts">'
        + verdict_list("Verdicts", one.of_paper, f" ({runs})")
        + verdict_list("Questions of ours", one.of_ours)
        + fidelity_list(one.claims)
        + check_list(one.checks)
        + f"<p>In all {said}. {cost_text(one.recorded)}</p></section>"
    )
