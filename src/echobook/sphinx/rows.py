"""Rows of the scoreboard: one a claim of a published chapter, one a planned chapter. No markup here.

A claim's figure is that of its first test, which decides first; further tests count in the verdict. The
figures are formatted from records, never typed.
"""

from dataclasses import dataclass

from echobook.report.claims import Claim
from echobook.report.errors import ReportError
from echobook.report.results import Results
from echobook.report.verdicts import ClaimOutcome, seed_value
from echobook.sphinx.chapters import Chapter
from echobook.sphinx.records import NOT_YET, Records

PLANNED = "to come"


@dataclass(frozen=True)
class Row:
    """One row: a claim with the paper's, the recorded and this build's figure, and the verdict."""

    chapter: Chapter
    claim: Claim | None
    printed: str
    recorded: str
    built: str
    verdict: str
    minutes: str


def short(value: float) -> str:
    """Return a number in three significant digits, without exponent and with a real minus sign."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", "\N{MINUS SIGN}")


def with_unit(text: str, unit: str) -> str:
    """Return a figure with its unit, unless the text names it already."""
    return text if not unit or unit in text else f"{text} {unit}"


def recorded_text(outcome: ClaimOutcome) -> str:
    """Return the recorded figure of the first test with its interval and number of seeds."""
    if not outcome.tests:
        return "none"
    first = outcome.tests[0]
    spread = ""
    if first.low is not None and first.high is not None:
        spread = f" [{short(first.low)}, {short(first.high)}]"
    seeds = len(first.seeds)
    return with_unit(short(first.estimate), first.unit) + spread + f", {seeds} seed{'s' if seeds != 1 else ''}"


def built_text(claim: Claim, built: list[Results]) -> str:
    """Return this build's figure of the first test, averaged over the seeds that were run."""
    if not claim.tests or not built:
        return "not run" if claim.tests else "none"
    try:
        values = [seed_value(claim.tests[0], results) for results in built]
    except ReportError:
        return "not measured in this profile"
    return short(sum(values) / len(values))


def minutes_text(results: list[Results]) -> str:
    """Return the mean wall-clock minutes of one run."""
    if not results:
        return "none yet"
    return short(sum(result.cost.wall_seconds for result in results) / len(results) / 60)


def chapter_rows(records: Records, chapter: Chapter) -> list[Row]:
    """Return the rows of one chapter."""
    if not chapter.published or not records.has_claims(chapter.slug):
        return [Row(chapter, None, "", "", "", PLANNED, "")]
    recorded, built = records.recorded(chapter.slug), records.built(chapter.slug)
    rows = []
    for outcome in records.outcomes(chapter.slug):
        claim = outcome.claim
        shown = recorded_text(outcome) if recorded else NOT_YET
        figure = claim.printed.text
        minutes = minutes_text(recorded)
        rows.append(Row(chapter, claim, figure, shown, built_text(claim, built), outcome.verdict, minutes))
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
