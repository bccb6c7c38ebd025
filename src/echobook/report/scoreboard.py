"""The scoreboard: findings and checks of each chapter with what they came to, totals, and a short form for
the terminal. Findings of papers (and derived from their figures) are counted apart from questions of ours."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from echobook.report.claims import Claims, Printed, load_claims
from echobook.report.display import CHECKED, SIGNS
from echobook.report.outcomes import VERDICTS, CheckOutcome, FindingOutcome, Verdict
from echobook.report.records import load_recorded
from echobook.report.results import Results
from echobook.report.verdicts import judge_checks, judge_findings


@dataclass(frozen=True)
class Board:
    """One chapter: its claims, its recorded public results (one a seed), and what they come to."""

    claims: Claims
    recorded: Sequence[Results]
    findings: Sequence[FindingOutcome]
    checks: Sequence[CheckOutcome]

    @property
    def slug(self) -> str:
        """The chapter's slug."""
        return self.claims.slug

    @property
    def of_paper(self) -> list[FindingOutcome]:
        """Findings that the paper states, or that follow from its figures."""
        return [outcome for outcome in self.findings if outcome.finding.origin != "ours"]

    @property
    def of_ours(self) -> list[FindingOutcome]:
        """Findings that are questions of ours."""
        return [outcome for outcome in self.findings if outcome.finding.origin == "ours"]

    @property
    def minutes(self) -> float | None:
        """Mean CPU minutes of one recorded run; None when nothing is recorded."""
        if not self.recorded:
            return None
        return sum(run.cost.whole_cpu_seconds for run in self.recorded) / len(self.recorded) / 60


@dataclass(frozen=True)
class Totals:
    """Findings by verdict, those of papers and ours apart; checks passed, and all checks."""

    papers: Mapping[Verdict, int]
    ours: Mapping[Verdict, int]
    passed: int
    checks: int


def board(claims: Claims, recorded: Sequence[Results]) -> Board:
    """Judge one chapter."""
    return Board(claims, recorded, judge_findings(claims, recorded), judge_checks(claims, recorded))


def scoreboard(root: Path, *, slugs: Sequence[str] | None = None) -> list[Board]:
    """Return all chapters with a claims file (or `slugs`), in the order of their names (or as given)."""
    found = sorted(path.stem for path in (root / "data" / "claims").glob("*.yml"))
    return [
        board(load_claims(root, slug), load_recorded(root, slug))
        for slug in (found if slugs is None else slugs)
    ]


def printed_text(printed: Printed) -> str:
    """Return the paper's figure with how we know it, when it was not read in the paper itself."""
    known = "" if printed.provenance == "read" else f" ({printed.provenance})"
    return f"{printed.text}{known}"


def by_verdict(outcomes: Sequence[FindingOutcome]) -> dict[Verdict, int]:
    """Return the number of findings with each verdict, in the order of the verdicts; none is left out."""
    counted = Counter(outcome.verdict for outcome in outcomes)
    return {verdict: counted[verdict] for verdict in VERDICTS}


def totals(boards: Sequence[Board]) -> Totals:
    """Count the findings and checks of some chapters."""
    checks = [check for one in boards for check in one.checks]
    return Totals(
        papers=by_verdict([outcome for one in boards for outcome in one.of_paper]),
        ours=by_verdict([outcome for one in boards for outcome in one.of_ours]),
        passed=sum(check.passed is True for check in checks),
        checks=len(checks),
    )


def counted_text(counts: Mapping[Verdict, int]) -> str:
    """Return counts by verdict in words, those of zero left out."""
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count) or "none"


def plural(count: int, word: str) -> str:
    """Return a number with a word that takes an s."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def totals_text(found: Totals, *, whose: str = "papers") -> str:
    """Return totals in one line of words; `whose`: whose findings the first ones are."""
    papers, ours = sum(found.papers.values()), sum(found.ours.values())
    parts = [f"{plural(papers, 'finding')} of {whose}: {counted_text(found.papers)}"]
    parts += [f"{ours} of ours: {counted_text(found.ours)}"] if ours else []
    parts += [f"{plural(found.passed, 'check')} passed of {found.checks}"] if found.checks else []
    return "; ".join(parts)


def plain_scoreboard(boards: Sequence[Board]) -> str:
    """Return a short scoreboard for the terminal: a line for each chapter, then signs and totals in words."""
    width = max((len(one.slug) for one in boards), default=0)
    lines = [f"{one.slug.ljust(width)}  {_signs(one)}".rstrip() for one in boards]
    used = {outcome.verdict for one in boards for outcome in one.findings}
    signs = [f"{sign} {verdict}" for verdict, sign in SIGNS.items() if verdict in used]
    return "\n".join([*lines, *([", ".join(signs)] if signs else []), totals_text(totals(boards))])


def _signs(one: Board) -> str:
    """Signs of a chapter: findings of the paper | of ours | checks, the last as a count."""
    groups = [
        " ".join(f"{outcome.finding.id} {SIGNS[outcome.verdict]}" for outcome in group)
        for group in (one.of_paper, one.of_ours)
    ]
    groups[1] = groups[1] and f"ours: {groups[1]}"
    failed = [f"{check.check.id} {CHECKED[False][0]}" for check in one.checks if check.passed is False]
    checks = totals([one])
    groups += [" ".join([f"checks: {checks.passed} of {checks.checks}", *failed])] if one.checks else []
    return " | ".join(group for group in groups if group)
