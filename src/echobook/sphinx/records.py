"""What the pages read: chapters, claims and recorded results, each loaded and judged once a build."""

from functools import cached_property
from pathlib import Path

from sphinx.application import Sphinx

from echobook.report.claims import Claims, load_claims
from echobook.report.errors import ReportError
from echobook.report.outcomes import CheckOutcome, Estimate, FindingOutcome
from echobook.report.paths import claims_file, recorded_folder
from echobook.report.records import load_recorded
from echobook.report.results import Results
from echobook.report.scoreboard import Board, board
from echobook.report.verdicts import estimate
from echobook.sphinx.chapters import Chapter, read_chapters

NOT_YET = "not yet recorded"


class Records:
    """The records of one checkout, as one build sees them. A lookup answers or raises ReportError."""

    def __init__(self, root: Path, profile: str) -> None:
        self.root = root
        self.profile = profile
        self._recorded: dict[str, list[Results]] = {}
        self._claims: dict[str, Claims] = {}
        self._boards: dict[str, Board] = {}

    @cached_property
    def chapters(self) -> dict[str, Chapter]:
        """Return the chapters by slug, in the registry's order."""
        return {chapter.slug: chapter for chapter in read_chapters(self.root)}

    def chapter(self, slug: str) -> Chapter:
        """Return one chapter; an unknown slug is an error that lists the known ones."""
        if slug not in self.chapters:
            raise ReportError(f"no chapter {slug!r}; known: {', '.join(self.chapters)}")
        return self.chapters[slug]

    def has_claims(self, slug: str) -> bool:
        """Say whether the chapter's claims have been written."""
        return claims_file(self.root, slug).is_file()

    def claims(self, slug: str) -> Claims:
        """Return the chapter's claims."""
        if slug not in self._claims:
            self._claims[slug] = load_claims(self.root, self.chapter(slug).slug)
        return self._claims[slug]

    def recorded(self, slug: str) -> list[Results]:
        """Return the recorded public results, one a seed; empty when nothing is recorded."""
        if slug not in self._recorded:
            self._recorded[slug] = load_recorded(self.root, self.chapter(slug).slug)
        return self._recorded[slug]

    def estimate(self, slug: str, metric: str) -> Estimate | None:
        """Return a metric's recorded mean and interval over seeds, or None when nothing is recorded."""
        return estimate(self.recorded(slug), metric)

    def board(self, slug: str) -> Board:
        """Return what a chapter's findings and checks came to in its recorded public results."""
        if slug not in self._boards:
            self._boards[slug] = board(self.claims(slug), self.recorded(slug))
        return self._boards[slug]

    def outcome(self, slug: str, identity: str) -> FindingOutcome | CheckOutcome:
        """Return the outcome of one finding or check; an unknown id is an error that lists the known ones."""
        found: dict[str, FindingOutcome | CheckOutcome] = {
            one.finding.id: one for one in self.board(slug).findings
        }
        found |= {one.check.id: one for one in self.board(slug).checks}
        if identity not in found:
            raise ReportError(f"{slug}: no finding or check {identity!r}; known: {', '.join(found)}")
        return found[identity]

    def files(self, slug: str) -> list[Path]:
        """Return the files that decide what pages say about a chapter."""
        recorded = recorded_folder(self.root, "public", slug)
        return [claims_file(self.root, slug), *sorted(recorded.glob("*.json"))]


def records_of(app: Sphinx) -> Records:
    """Return the records of a build, made at the first call."""
    known = getattr(app, "echobook_records", None)
    if not isinstance(known, Records):
        known = Records(Path(app.srcdir), app.config.echobook_profile)
        app.echobook_records = known  # type: ignore[attr-defined]
    return known
