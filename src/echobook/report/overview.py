"""The overview 'Which papers hold up?' in HTML: one row a paper, and a strip of our effects beside theirs.

Links to pages are given as a function from slug to address, so that this module knows of no site.
"""

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from echobook.report.display import CLASSES, SIGNS, figure
from echobook.report.frames import findings_frame
from echobook.report.marks import KINDS, Span, axis, bar, sample, shape, span_of, upright, whisker
from echobook.report.outcomes import FindingOutcome
from echobook.report.scoreboard import Board, by_verdict, counted_text, plural, totals
from echobook.report.surprise import surprise
from echobook.report.verdict_box import GRADES, grade_marks

LEAST, MOST = Span(-0.5, 2.0), Span(-1.5, 3.5)
Address = Callable[[str], str]


@dataclass(frozen=True)
class Paper:
    """What a row says of a paper beside its board."""

    title: str
    venue: str
    board: Board


def mark(outcome: FindingOutcome, page: str) -> str:
    """Return a finding as a mark: sign and id, linked to the cell that shows it."""
    finding = outcome.finding
    said = html.escape(f"{finding.id}, {outcome.verdict}: {finding.statement}")
    return (
        f'<a class="echobook-verdict {CLASSES[outcome.verdict]}" href="{page}#{finding.anchor}" '
        f'title="{said}">{SIGNS[outcome.verdict]} {finding.id}</a>'
    )


def marks(title: str, outcomes: Sequence[FindingOutcome], page: str) -> str:
    """Return the marks of some findings with their counts in words; nothing when there are none."""
    if not outcomes:
        return ""
    shown = " ".join(mark(outcome, page) for outcome in outcomes)
    return f"<p><strong>{title}</strong> {shown}<br>{counted_text(by_verdict(outcomes))}</p>"


def fidelity(board: Board) -> str:
    """Return the five grades of closeness as signs with the side's name; words on hover."""
    items = [
        f'<li title="{html.escape(f"{grade}: {words}")}">{sign} {side}'
        f'<span class="forest-hidden"> {grade}</span></li>'
        for side, sign, grade, words in grade_marks(board.claims.fidelity)
    ]
    return f'<ul class="overview-grades">{"".join(items)}</ul>'


def cost(board: Board) -> str:
    """Return minutes and seeds of the recorded runs."""
    if board.minutes is None:
        return "not yet recorded"
    return f"{figure(board.minutes, 2)} CPU-min a seed, {plural(len(board.recorded), 'seed')}"


def paper_row(paper: Paper, address: Address) -> str:
    """Return one row of the table of papers."""
    board, page = paper.board, address(paper.board.slug)
    found = totals([board])
    checks = f"<p><strong>checks</strong> {found.passed} of {found.checks} passed</p>" if board.checks else ""
    findings = marks("the paper's", board.of_paper, page) + marks("ours", board.of_ours, page)
    return (
        f'<tr><th scope="row"><a href="{page}">{html.escape(paper.title)}</a>'
        f"<small>{html.escape(paper.venue)}</small>"
        f'<p class="overview-surprise">{html.escape(surprise(board))}</p></th>'
        f"<td>{findings}{checks}</td><td>{fidelity(board)}</td><td>{cost(board)}</td></tr>"
    )


def papers_table(papers: Sequence[Paper], address: Address) -> str:
    """Return the table of papers with its legend."""
    rows = "".join(paper_row(paper, address) for paper in papers)
    used = {outcome.verdict for paper in papers for outcome in paper.board.findings}
    signs = [
        f'<li><span class="echobook-verdict {CLASSES[verdict]}">{sign}</span> {verdict}</li>'
        for verdict, sign in SIGNS.items()
        if verdict in used
    ]
    grades = [f"<li>{sign} {grade}</li>" for grade, sign in GRADES.items()]
    return (
        f'<ul class="forest-legend" aria-label="Signs of verdicts">{"".join(signs)}</ul>'
        f'<ul class="forest-legend" aria-label="Signs of closeness">{"".join(grades)}</ul>'
        '<table class="overview-papers"><thead><tr><th scope="col">paper, and what surprised us most</th>'
        '<th scope="col">findings and checks</th><th scope="col">how close</th><th scope="col">cost</th>'
        f"</tr></thead><tbody>{rows}</tbody></table>"
    )


def strip_frame(boards: Sequence[Board]) -> pd.DataFrame:
    """Return the tests that have the paper's effect, largest effect ratio first."""
    found = findings_frame(boards)
    known = found[found["effect_ratio"].notna()]
    return known.sort_values(["effect_ratio", "chapter", "finding"], ascending=[False, True, True])


def strip_row(
    row: "pd.Series[float]", span: Span, address: Address, anchors: dict[tuple[str, str], str]
) -> str:
    """Return one row of the strip: which test, a bar, and the ratio in figures."""
    ratio, low, high = (float(row[name]) for name in ("effect_ratio", "ratio_low", "ratio_high"))
    known = not (math.isnan(low) or math.isnan(high))
    decision = str(row["decision"])
    interval = f" [{figure(low, 2)}, {figure(high, 2)}]" if known else ""
    parts = [upright("least", span.place(0.0)), upright("bound", span.place(1.0))]
    parts += [whisker(span, low, high)] if known else []
    parts.append(shape(decision, span.place(ratio)))
    said = f"{decision}: {figure(ratio, 2)}{interval} times the paper's effect"
    where = f"{address(str(row['chapter']))}#{anchors[str(row['chapter']), str(row['finding'])]}"
    return (
        f'<tr class="test"><th scope="row"><a href="{where}">{row["chapter"]} {row["finding"]}</a> '
        f"{html.escape(str(row['words']))}</th><td>{bar(parts, said, KINDS[decision])}</td>"
        f'<td class="figures">{figure(ratio, 2)}{interval}</td></tr>'
    )


def strip(boards: Sequence[Board], address: Address) -> str:
    """Return the strip of all tests with the paper's effect, ours in multiples of it."""
    frame = strip_frame(boards)
    anchors = {(one.slug, seen.finding.id): seen.finding.anchor for one in boards for seen in one.findings}
    seen = frame[["effect_ratio", "ratio_low", "ratio_high"]].to_numpy(dtype=float).ravel()
    span = span_of([float(value) for value in seen if not math.isnan(value)], least=LEAST, most=MOST)
    rows = "".join(strip_row(row, span, address, anchors) for _, row in frame.iterrows())
    scale = axis(span, span.whole(), [(0.0, "end", "no effect"), (1.0, "start", "the paper's")])
    legend = "".join(f"<li>{sample(name)} {name}</li>" for name in KINDS)
    return (
        f'<figure class="echobook-forest effects" aria-label="{html.escape(strip_text(frame))}"><figcaption>'
        f'<ul class="forest-legend">{legend}</ul></figcaption><table><thead><tr>'
        '<th scope="col">test</th>'
        f'<th scope="col"><span class="forest-hidden">plot</span>{scale}</th>'
        f'<th scope="col">ours / the paper\'s</th></tr></thead><tbody>{rows}</tbody>'
        f"<tfoot><tr><td></td><td>{scale}</td><td></td></tr></tfoot></table></figure>"
    )


def strip_text(frame: pd.DataFrame) -> str:
    """Return the strip in one sentence, for those who cannot see it."""
    if frame.empty:
        return "No test has the paper's effect beside it yet."
    ratio = frame["effect_ratio"]
    return (
        f"{plural(len(frame), 'test')} by our effect in multiples of the paper's: {int((ratio >= 1).sum())} "
        f"as large or larger, {int(((ratio > 0) & (ratio < 1)).sum())} smaller, "
        f"{int((ratio <= 0).sum())} none or opposite."
    )
