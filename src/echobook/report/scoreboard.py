"""The scoreboard: one row for each claim of each chapter, totals, and a short form for the terminal."""

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from echobook.report.claims import Check, Claims, Finding, Printed, load_claims
from echobook.report.display import SIGNS, badge, check_badge, check_text, outcome_text, volatile
from echobook.report.paths import results_folder
from echobook.report.records import SEED_NAME, load_recorded, same_shape
from echobook.report.results import Results, read_results
from echobook.report.verdicts import (
    VERDICTS,
    CheckOutcome,
    FindingOutcome,
    Verdict,
    judge_check,
    judge_checks,
    judge_finding,
    judge_findings,
)


@dataclass(frozen=True)
class Row:
    """One claim on the scoreboard; figures are ready to show, empty text means there is none."""

    slug: str
    claim: str
    statement: str
    printed: str
    recorded: str
    seeds: int
    build: str
    verdict: Verdict
    anchor: str


def printed_text(printed: Printed) -> str:
    """Return the paper's figure with how we know it, when it was not read in the paper itself."""
    known = "" if printed.provenance == "read" else f" ({printed.provenance})"
    return f"{printed.text}{known}"


def outcome_figures(outcome: FindingOutcome, digits: int = 3) -> str:
    """Return the figures of all tests of a finding, one after the other."""
    return "; ".join(outcome_text(test, digits) for test in outcome.tests)


def check_figures(outcome: CheckOutcome) -> str:
    """Return the figures of all tests of a check, one after the other."""
    return "; ".join(check_text(test) for test in outcome.tests)


def claims_frame(claims: Claims, recorded: Sequence[Results], build: Sequence[Results]) -> pd.DataFrame:
    """Return the chapter's table of findings and checks in HTML; `build` are the results of the run at hand.

    Figures of this run that depend on the machine's speed are marked as volatile.
    """
    rows = []
    for outcome, now in zip(judge_findings(claims, recorded), this_run(claims, build), strict=True):
        reason, figures = outcome.finding.not_testable, outcome_figures(outcome)
        said = figures or reason or "not yet recorded"
        printed = printed_text(outcome.finding.printed)
        rows.append(_cells(outcome.finding, printed, said, now, badge(outcome.verdict), build))
    for checked in judge_checks(claims, recorded):
        now = check_figures(judge_check(checked.check, _with(checked.check, build)))
        said = check_figures(checked) or "not yet recorded"
        rows.append(_cells(checked.check, "a check", said, now, check_badge(checked.passed), build))
    return pd.DataFrame(rows)


def _cells(
    statement: Finding | Check, printed: str, said: str, now: str, mark: str, build: Sequence[Results]
) -> dict[str, str]:
    return {
        "claim": claim_link(statement),
        "paper": html.escape(printed),
        "recorded (95 % interval)": html.escape(said),
        "this run": volatile(now) if _timed(statement, build) else html.escape(now or "–"),
        "verdict": mark,
    }


def claim_link(statement: Finding | Check) -> str:
    """Return a finding or check in HTML: its id, linked to the cell that shows it, and its statement."""
    link = f'<a href="#{statement.anchor}">{html.escape(statement.id)}</a>'
    return f"{link} {html.escape(statement.statement)}"


def _with(statement: Finding | Check, build: Sequence[Results]) -> list[Results]:
    """The runs that recorded all metrics that the statement needs."""
    return [results for results in build if set(statement.metrics) <= results.metrics.keys()]


def _timed(statement: Finding | Check, build: Sequence[Results]) -> bool:
    names = set(statement.metrics)
    return any(results.metrics[name].timing for results in build for name in names & results.metrics.keys())


def this_run(claims: Claims, build: Sequence[Results]) -> list[str]:
    """Return the figures of a run at hand for each finding, empty where it lacks the metrics (yet)."""
    return [outcome_figures(judge_finding(finding, _with(finding, build))) for finding in claims.findings]


def built_results(root: Path, slug: str, profile: str) -> list[Results]:
    """Return the results of the last build, by seed; leftovers unlike the first seed are passed over."""
    folder = results_folder(root, profile, slug)
    files = [path for path in folder.glob("*.json") if SEED_NAME.fullmatch(path.name)]
    runs = [read_results(path, slug=slug, profile=profile) for path in files]
    found = sorted(runs, key=lambda run: run.seed)
    return [run for run in found if same_shape(found[0], run)]


def chapter_rows(root: Path, slug: str, *, profile: str = "default") -> list[Row]:
    """Return a chapter's rows: verdicts from recorded `public` runs, beside the last build of `profile`."""
    claims = load_claims(root, slug)
    recorded = load_recorded(root, slug)
    built = built_results(root, slug, profile)
    return [
        Row(
            slug=slug,
            claim=outcome.finding.id,
            statement=outcome.finding.statement,
            printed=printed_text(outcome.finding.printed),
            recorded=outcome_figures(outcome),
            seeds=len(recorded),
            build=now,
            verdict=outcome.verdict,
            anchor=outcome.finding.anchor,
        )
        for outcome, now in zip(judge_findings(claims, recorded), this_run(claims, built), strict=True)
    ]


def scoreboard(root: Path, *, profile: str = "default", slugs: Sequence[str] | None = None) -> list[Row]:
    """Return the rows of all chapters with a claims file (or of `slugs`), in the order of their names."""
    found = sorted(path.stem for path in (root / "data" / "claims").glob("*.yml"))
    return [
        row
        for slug in (found if slugs is None else slugs)
        for row in chapter_rows(root, slug, profile=profile)
    ]


def totals(rows: Sequence[Row]) -> dict[Verdict, int]:
    """Return the number of claims with each verdict, all five verdicts listed."""
    counted = Counter(row.verdict for row in rows)
    return {verdict: counted[verdict] for verdict in VERDICTS}


def plain_scoreboard(rows: Sequence[Row]) -> str:
    """Return a short scoreboard for the terminal: a line for each chapter, then the totals."""
    slugs = list(dict.fromkeys(row.slug for row in rows))
    width = max((len(slug) for slug in slugs), default=0)
    lines = []
    for slug in slugs:
        own = [row for row in rows if row.slug == slug]
        signs = " ".join(f"{row.claim} {SIGNS[row.verdict]}" for row in own)
        lines.append(f"{slug.ljust(width)}  {signs}")
    summary = ", ".join(f"{count} {verdict}" for verdict, count in totals(rows).items() if count)
    lines.append(f"{len(rows)} claims: {summary or 'none'}")
    return "\n".join(lines)
