"""Rows of the scoreboard: one a claim of a published chapter, one a planned chapter. No markup here.

The figures are those of all tests of a claim, formatted from records, never typed.
"""

from dataclasses import dataclass

from echobook.report.claims import Finding
from echobook.report.results import Results
from echobook.report.scoreboard import outcome_figures, printed_text, this_run
from echobook.sphinx.chapters import Chapter
from echobook.sphinx.records import NOT_YET, Records

PLANNED = "to come"


@dataclass(frozen=True)
class Row:
    """One row: a claim with the paper's, the recorded and this build's figure, and the verdict."""

    chapter: Chapter
    claim: Finding | None
    printed: str
    recorded: str
    built: str
    verdict: str
    minutes: str


def short(value: float) -> str:
    """Return a number in three significant digits, without exponent and with a real minus sign."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", "\N{MINUS SIGN}")


def minutes_text(results: list[Results]) -> str:
    """Return the mean CPU minutes of one run, with those of kept results that it read."""
    if not results:
        return "none yet"
    return short(sum(result.cost.whole_cpu_seconds for result in results) / len(results) / 60)


def chapter_rows(records: Records, chapter: Chapter) -> list[Row]:
    """Return the rows of one chapter."""
    if not chapter.published or not records.has_claims(chapter.slug):
        return [Row(chapter, None, "", "", "", PLANNED, "")]
    recorded = records.recorded(chapter.slug)
    runs = this_run(records.claims(chapter.slug), records.built(chapter.slug))
    rows = []
    for outcome, now in zip(records.outcomes(chapter.slug), runs, strict=True):
        claim = outcome.finding
        ours = outcome_figures(outcome) or claim.not_testable or NOT_YET
        minutes = minutes_text(recorded)
        rows.append(
            Row(chapter, claim, printed_text(claim.printed), ours, now or "–", outcome.verdict, minutes)
        )
    return rows


def all_rows(records: Records) -> list[Row]:
    """Return all rows in the order of the registry."""
    return [row for chapter in records.chapters.values() for row in chapter_rows(records, chapter)]


def totals(records: Records, rows: list[Row]) -> dict[str, int]:
    """Count chapters, published chapters, judged claims, and claims by verdict."""
    counted = {
        "chapters": len(records.chapters),
        "published": sum(chapter.published for chapter in records.chapters.values()),
        "claims": sum(row.claim is not None for row in rows),
    }
    for row in rows:
        if row.claim is not None:
            counted[row.verdict] = counted.get(row.verdict, 0) + 1
    return counted
