"""The forest plot of a chapter: one row a test, ours with its interval beside the paper's effect.

Tests have many units, so each row has a scale of its own: 0 is the bound that 'holds' must clear, 1 is the
smallest effect that matters, and right is the way of the claim (for direction `below` the row is turned
round). All rows then read alike: it holds when the whole interval is right of 0, in the shaded ground, and
fails when it is left of 1. The figures in their own unit stand beside the bar.

Rows without such a distance (smallest effect equal to the bound, 'no worse than') take as 1 the value of no
effect, else half of the paper's effect, else half of how far the interval reaches. For direction `within`
the two bounds are 0 and 2.
"""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from echobook.report.claims import Test
from echobook.report.display import Html, badge, figures_text, rounded
from echobook.report.marks import KINDS, Span, axis, bar, sample, shape, span_of, upright, whisker, zone
from echobook.report.outcomes import FindingOutcome, TestOutcome

LEAST, MOST = Span(-1.0, 2.5), Span(-4.0, 6.0)
INFINITE = math.inf


@dataclass(frozen=True)
class Row:
    """Places of one row on the common axis; None where there is none."""

    estimate: float
    low: float | None
    high: float | None
    paper: float | None
    zone: tuple[float, float]
    smallest: float | None

    @property
    def places(self) -> list[float]:
        """All places that should be seen."""
        found = [self.estimate, self.low, self.high, self.paper]
        return [place for place in found if place is not None]


def step_of(outcome: TestOutcome) -> float:
    """Return the length of 1 on the row's scale, in the test's unit; negative where the row is turned."""
    test = outcome.test
    if isinstance(test.bound, list):
        return (test.bound[1] - test.bound[0]) / 2
    bound, sign = test.bound, 1 if test.direction == "above" else -1
    ends = (outcome.estimate, outcome.low, outcome.high)
    reach = max(abs(end - bound) for end in ends if end is not None)
    paper = bound if test.paper_effect is None else test.paper_effect
    wanted = bound if test.smallest_effect is None else test.smallest_effect
    lengths = (abs(wanted - bound), abs(test.null - bound), abs(paper - bound) / 2, reach / 2, 1.0)
    return sign * next(length for length in lengths if length > 0)


def row_of(outcome: TestOutcome) -> Row:
    """Return the places of a test's row."""
    test, step = outcome.test, step_of(outcome)
    pair = isinstance(test.bound, list)
    origin = test.bound[0] if isinstance(test.bound, list) else test.bound

    def place(value: float | None) -> float | None:
        return None if value is None else (value - origin) / step

    ends = [place(outcome.low), place(outcome.high)]
    low, high = ends if step > 0 else ends[::-1]
    return Row(
        estimate=(outcome.estimate - origin) / step,
        low=low,
        high=high,
        paper=place(test.paper_effect),
        zone=(0.0, 2.0 if pair else INFINITE),
        smallest=None if pair or test.smallest_effect == test.bound else 1.0,
    )


def rule_text(test: Test) -> str:
    """Return in words what the interval must clear, and what would matter."""
    if isinstance(test.bound, list):
        return f"holds between {rounded(test.bound[0])} and {rounded(test.bound[1])}"
    holds = f"holds {test.direction} {rounded(test.bound)}"
    if test.smallest_effect is None or test.smallest_effect == test.bound:
        return holds
    return f"{holds}, matters from {rounded(test.smallest_effect)}"


def said(outcome: TestOutcome) -> str:
    """Return a row in words, for those who cannot see it."""
    paper = outcome.test.paper_effect
    parts = [f"ours {figures_text(outcome)}", rule_text(outcome.test)]
    parts += [] if paper is None else [f"the paper's effect {rounded(paper)}"]
    return f"{outcome.decision}: {'; '.join(parts)}"


def picture(outcome: TestOutcome, span: Span) -> str:
    """Return a row's bar."""
    row = row_of(outcome)
    parts = [zone(span, *row.zone), upright("bound", span.place(0.0))]
    if row.zone[1] < INFINITE:
        parts.append(upright("bound", span.place(row.zone[1])))
    if row.smallest is not None:
        parts.append(upright("least", span.place(row.smallest)))
    if row.paper is not None:
        parts.append(shape("paper", span.place(row.paper)))
    if row.low is not None and row.high is not None:
        parts.append(whisker(span, row.low, row.high))
    parts.append(shape(outcome.decision, span.place(row.estimate)))
    return bar(parts, said(outcome), KINDS[outcome.decision])


def test_row(outcome: TestOutcome, span: Span) -> str:
    """Return one row of the table: words, bar, decision and figures."""
    paper = outcome.test.paper_effect
    beside = "" if paper is None else f"paper {rounded(paper)}; "
    return (
        f'<tr class="test"><th scope="row">{html.escape(outcome.words)}</th>'
        f"<td>{picture(outcome, span)}</td>"
        f'<td class="figures"><strong>{outcome.decision}</strong> {html.escape(figures_text(outcome))}'
        f" <small>{html.escape(beside + rule_text(outcome.test))}</small></td></tr>"
    )


test_row.__test__ = False  # type: ignore[attr-defined]  # no test of pytest


def finding_rows(outcome: FindingOutcome, span: Span) -> str:
    """Return a finding as a group of rows; one without tests says why there are none."""
    finding = outcome.finding
    ours = " <small>(our question)</small>" if finding.origin == "ours" else ""
    head = (
        f'<tr class="finding"><th scope="rowgroup" colspan="3">{badge(outcome.verdict)} '
        f"{html.escape(finding.id)}. {html.escape(finding.statement)}{ours}</th></tr>"
    )
    rows = [test_row(test, span) for test in outcome.tests]
    if finding.not_testable:
        rows = [f'<tr class="test"><td colspan="3">{html.escape(finding.not_testable)}</td></tr>']
    return f"<tbody>{head}{''.join(rows)}</tbody>"


def scale(span: Span) -> str:
    """Return the axis that all rows share."""
    return axis(span, span.whole(), [(0.0, "end", "bound"), (1.0, "start", "matters")])


def legend() -> str:
    """Return the legend: every shape with its words."""
    ours = [f"<li>{sample(name)} {name}</li>" for name in KINDS]
    return (
        '<ul class="forest-legend">'
        + "".join(ours)
        + f"<li>{sample('paper')} the paper's effect</li></ul>"
        + "<p>Right is the way of the claim. A test holds when its whole interval is in the shaded ground, "
        "beyond the bound (solid line); it fails when all of it is short of the smallest effect that matters "
        "(dashed line). The distance between the two lines is the unit of each row; arrow heads lead "
        "beyond the edge.</p>"
    )


def summary(findings: Sequence[FindingOutcome]) -> str:
    """Return the plot in one sentence, for those who cannot see it."""
    decisions = [test.decision for outcome in findings for test in outcome.tests]
    counts = [f"{decisions.count(name)} {name}" for name in KINDS if name in decisions]
    tests = f"{len(decisions)} test{'' if len(decisions) == 1 else 's'}"
    ones = f"{len(findings)} finding{'' if len(findings) == 1 else 's'}"
    return f"Forest plot of {tests} of {ones}: {', '.join(counts) or 'nothing recorded yet'}."


def forest_plot(findings: Sequence[FindingOutcome], slug: str) -> Html:
    """Return the forest plot of a chapter's findings, as a table with a bar in each row."""
    rows = [row_of(test) for outcome in findings for test in outcome.tests]
    span = span_of([place for row in rows for place in row.places], least=LEAST, most=MOST)
    body = "".join(finding_rows(outcome, span) for outcome in findings)
    return Html(
        f'<figure class="echobook-forest" id="forest-{slug}" aria-label="{html.escape(summary(findings))}">'
        f"<figcaption>{legend()}</figcaption><table><thead><tr>"
        '<th scope="col">test</th>'
        f'<th scope="col"><span class="forest-hidden">plot</span>{scale(span)}</th>'
        '<th scope="col">ours [interval]</th></tr></thead>'
        f"{body}<tfoot><tr><td></td><td>{scale(span)}</td><td></td></tr></tfoot></table></figure>"
    )
