"""Directives for the tables of findings and of checks and for the overview, and the CSV files beside them.

The table of findings is filtered and sorted in the page by scoreboard.js, without a server: a row's classes
name its part, verdict and origin, and `<data class="ratio">` holds its effect ratio. The files are written
when the build ends, so a link works offline.
"""

from collections.abc import Callable
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

from echobook.report.claims_table import check_lines, finding_lines
from echobook.report.display import CHECKED, SIGNS
from echobook.report.frames import checks_frame, findings_frame
from echobook.report.outcomes import VERDICTS, CheckOutcome, FindingOutcome
from echobook.report.overview import Paper, papers_table, strip
from echobook.report.scoreboard import printed_text
from echobook.sphinx.chapters import PARTS, Chapter
from echobook.sphinx.record_directive import RecordDirective, badge
from echobook.sphinx.records import NOT_YET, Records, records_of
from echobook.sphinx.roles import explained, verdict_class
from echobook.sphinx.rows import judged, planned

FOLDER = "_downloads"
FILES = {"findings.csv": findings_frame, "checks.csv": checks_frame}
FINDING_COLUMNS = {
    "Chapter": 13, "Finding": 29, "Paper": 16, "Ours [interval]": 27, "Verdict": 15,
}  # fmt: skip
CHECK_COLUMNS = {"Chapter": 15, "Check": 35, "Worst of all seeds": 35, "Passed": 15}
ORIGINS = {"paper": "of the paper", "derived": "derived from its figures", "ours": "a question of ours"}
ORDERS = {"": "as in the book", "verdict": "by verdict", "ratio": "by effect beside the paper's"}


class _Table(RecordDirective):
    """A table whose cells are nodes."""

    columns: dict[str, int]
    kind: str
    file: str

    def table(self, rows: list[nodes.row]) -> list[nodes.Node]:
        """Return the table in a box that can scroll, and the link to its file."""
        group = nodes.tgroup(cols=len(self.columns))
        group.extend(nodes.colspec(colwidth=width) for width in self.columns.values())
        head = nodes.row("", *[_entry(nodes.Text(name)) for name in self.columns])
        group += [nodes.thead("", head), nodes.tbody("", *rows)]
        table = nodes.table("", group, classes=["scoreboard"], ids=[f"{self.kind}-table"])
        box = nodes.container("", table, classes=["scoreboard-box"], is_div=True)
        up = "../" * self.env.docname.count("/")
        self.env.app.echobook_downloads = True  # type: ignore[attr-defined]
        link = f'<p><a href="{up}{FOLDER}/{self.file}" download>Download as CSV: {self.file}</a></p>'
        return [box, nodes.raw("", link, format="html")]

    def name_cell(self, chapter: Chapter) -> nodes.entry:
        """Return the chapter's short name, linked to its page."""
        return _entry(self.page_link(chapter, chapter.title.split(":")[0]))


def _entry(*content: nodes.Node) -> nodes.entry:
    return nodes.entry("", nodes.paragraph("", "", *content))


def _lines(lines: list[str]) -> nodes.Node:
    """Return text, one line under the other."""
    shown = nodes.inline(classes=["figures"])
    shown += [nodes.inline(line, line, classes=["figure-line"]) for line in lines]
    return shown


class Scoreboard(_Table):
    """The table of all findings."""

    columns, kind, file = FINDING_COLUMNS, "scoreboard", "findings.csv"

    def body(self, records: Records) -> list[nodes.Node]:
        """Return the filter, the table, its file, and what is still to come."""
        rows = [(chapter, outcome) for chapter, board in judged(records) for outcome in board.findings]
        shown = [nodes.raw("", self.filter(rows), format="html")]
        shown += self.table([self.row(chapter, outcome) for chapter, outcome in rows])
        return [*shown, *later(records)]

    def row(self, chapter: Chapter, outcome: FindingOutcome) -> nodes.row:
        """Return one row; its classes are what the filter reads."""
        finding, verdict = outcome.finding, outcome.verdict
        source = finding.printed
        said = f"{source.unit}; {source.source} ({source.provenance})"
        origin = nodes.inline("", f" ({ORIGINS[finding.origin]})", classes=["origin"])
        ratios = [test.effect_ratio for test in outcome.tests if test.effect_ratio is not None]
        value = f'<data class="ratio" value="{ratios[0] if ratios else ""}"></data>'
        lines = finding_lines(outcome) or [finding.not_testable or NOT_YET]
        cells = [
            self.name_cell(chapter),
            _entry(self.claim_link(finding), origin),
            _entry(explained(printed_text(source), said, "printed")),
            _entry(_lines(lines), nodes.raw("", value, format="html")),
            _entry(badge(verdict, SIGNS[verdict])),
        ]
        classes = [f"part-{chapter.part}", verdict_class(verdict), f"origin-{finding.origin}"]
        return nodes.row("", *cells, classes=classes)

    def filter(self, rows: list[tuple[Chapter, FindingOutcome]]) -> str:
        """Return the choices and the place for the count; scoreboard.js brings them to life."""
        used = {outcome.verdict for _, outcome in rows}
        verdicts = [(verdict_class(name), f"{SIGNS[name]} {name}") for name in VERDICTS if name in used]
        parts = [(f"part-{part}", name) for part, name in PARTS.items()]
        origins = [(f"origin-{name}", words) for name, words in ORIGINS.items()]
        every = ("", "all")
        return (
            '<form class="scoreboard-filter" id="scoreboard-filter" hidden '
            'aria-label="Filter and sort the scoreboard">'
            + _choice("part", "Part", [every, *parts])
            + _choice("verdict", "Verdict", [every, *verdicts])
            + _choice("origin", "Whose", [every, *origins])
            + _choice("order", "Order", list(ORDERS.items()))
            + '<p id="scoreboard-count" role="status"></p></form>'
        )


def _choice(name: str, label: str, options: list[tuple[str, str]]) -> str:
    listed = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options)
    return f'<label for="scoreboard-{name}">{label}</label><select id="scoreboard-{name}">{listed}</select>'


class Checks(_Table):
    """The table of all checks."""

    columns, kind, file = CHECK_COLUMNS, "checks", "checks.csv"

    def body(self, records: Records) -> list[nodes.Node]:
        """Return the table and its file."""
        rows = [self.row(chapter, check) for chapter, board in judged(records) for check in board.checks]
        return self.table(rows)

    def row(self, chapter: Chapter, outcome: CheckOutcome) -> nodes.row:
        """Return one row."""
        sign, words, kind = CHECKED[outcome.passed]
        cells = [
            self.name_cell(chapter),
            _entry(self.claim_link(outcome.check)),
            _entry(_lines(check_lines(outcome) or [NOT_YET])),
            _entry(badge(words, sign, kind)),
        ]
        return nodes.row("", *cells)


class _Page(RecordDirective):
    """A directive whose HTML is made elsewhere and links to chapters."""

    def address(self, records: Records) -> Callable[[str], str]:
        """Return the function from a chapter's slug to its address, seen from this page."""
        builder, here = self.env.app.builder, self.env.docname
        return lambda slug: builder.get_relative_uri(here, records.chapter(slug).docname)


class Overview(_Page):
    """One row a paper."""

    def body(self, records: Records) -> list[nodes.Node]:
        """Return the table and what is to come."""
        papers = [Paper(chapter.title, chapter.venue, board) for chapter, board in judged(records)]
        shown = [nodes.raw("", papers_table(papers, self.address(records)), format="html")]
        return [*shown, *later(records)]


class Effects(_Page):
    """All tests that have the paper's effect, ours in multiples of it."""

    def body(self, records: Records) -> list[nodes.Node]:
        """Return the strip."""
        boards = [board for _, board in judged(records)]
        return [nodes.raw("", strip(boards, self.address(records)), format="html")]


def later(records: Records) -> list[nodes.Node]:
    """Return the chapters that are still to come, as a paragraph."""
    names = ", ".join(chapter.title.split(":")[0] for chapter in planned(records))
    return [nodes.paragraph("", f"To come: {names}.")] if names else []


def write_downloads(app: Sphinx, exception: Exception | None) -> None:
    """Write the CSV files of a site that shows the tables (event `build-finished`)."""
    if exception is not None or not getattr(app, "echobook_downloads", False):
        return
    boards = [board for _, board in judged(records_of(app))]
    folder = Path(app.outdir, FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in FILES.items():
        frame(boards).to_csv(folder / name, index=False, lineterminator="\n")
