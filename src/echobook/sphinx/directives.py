"""Sphinx directives that write tables and cards from the records.

- ```` ```{scoreboard} ````: every claim, with a filter by part and verdict that needs no server;
- ```` ```{totals} ````: chapters, claims and verdicts counted;
- ```` ```{chapters} ````: one card a chapter, grouped by part, planned ones marked as such;
- ```` ```{datacards} ````: `data/cards/*.md`, each followed by what `data/registry.csv` says of its files.

Rows and cards link to claims and pages through ordinary cross-references, so a claim whose cell lacks its
anchor is a warning of Sphinx, hence an error under `-W`.
"""

import csv
from collections import defaultdict
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from echobook.report.display import SIGNS
from echobook.report.errors import ReportError
from echobook.report.verdicts import VERDICTS
from echobook.sphinx.chapters import PARTS, Chapter, RegistryError
from echobook.sphinx.records import Records, records_of
from echobook.sphinx.roles import explained, verdict_class
from echobook.sphinx.rows import PLANNED, Row, all_rows, chapter_rows, totals

LOG = logging.getLogger(__name__)
COLUMNS = {
    "Chapter": 16, "Claim": 30, "Paper": 13, "Recorded [95 % interval]": 17, "This build": 9, "Verdict": 15,
}  # fmt: skip


class RecordDirective(SphinxDirective):
    """Base of the directives: faults in the records become warnings at the directive's place."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        """Return the directive's nodes."""
        records = records_of(self.env.app)
        try:
            for slug in records.chapters:
                for path in records.files(slug):
                    self.env.note_dependency(str(path))
            return self.body(records)
        except (ReportError, RegistryError) as error:
            LOG.warning(f"{self.name}: {error}", location=self.get_location())
            return []

    def body(self, records: Records) -> list[nodes.Node]:
        """Return what the directive shows."""
        raise NotImplementedError

    def page_link(self, chapter: Chapter, title: str = "") -> nodes.Node:
        """Return the chapter's title (or another one), linked to its page when it has one."""
        inner = nodes.inline(title or chapter.title, title or chapter.title)
        if not chapter.published:
            return inner
        link = addnodes.pending_xref(
            "", inner, refdomain="std", reftype="doc", reftarget="/" + chapter.docname, refexplicit=True,
            refwarn=True, refdoc=self.env.docname,
        )  # fmt: skip
        return link

    def claim_link(self, row: Row) -> nodes.Node:
        """Return the claim's words, linked to the cell that shows it."""
        if row.claim is None:
            return nodes.inline(row.chapter.system, row.chapter.system)
        text = f"{row.claim.id}. {row.claim.statement}"
        return addnodes.pending_xref(
            "", nodes.inline(text, text), refdomain="std", reftype="ref", reftarget=row.claim.anchor,
            refexplicit=True, refwarn=True, refdoc=self.env.docname,
        )  # fmt: skip


def _verdict(verdict: str) -> nodes.Node:
    signs = {str(name): sign for name, sign in SIGNS.items()}
    text = f"{signs.get(verdict, '…')} {verdict}"
    return nodes.inline(text, text, classes=["echobook-verdict", verdict_class(verdict)])


def _lines(text: str) -> nodes.Node:
    """Return the figures of a claim's tests, each on its own line."""
    shown = nodes.inline(classes=["figures"])
    for line in text.split("; ") if text else []:
        shown += nodes.inline(line, line, classes=["figure-line"])
    return shown


def _entry(*content: nodes.Node) -> nodes.entry:
    entry = nodes.entry()
    entry += nodes.paragraph("", "", *content)
    return entry


def _head() -> nodes.thead:
    row = nodes.row()
    for name in COLUMNS:
        row += _entry(nodes.Text(name))
    return nodes.thead("", row)


class Scoreboard(RecordDirective):
    """The table of all claims."""

    def body(self, records: Records) -> list[nodes.Node]:
        """Return the filter and the table."""
        rows = all_rows(records)
        group = nodes.tgroup(cols=len(COLUMNS))
        group.extend(nodes.colspec(colwidth=width) for width in COLUMNS.values())
        group += _head()
        group += nodes.tbody("", *[self.row(row) for row in rows])
        table = nodes.table("", group, classes=["scoreboard"], ids=["scoreboard-table"])
        box = nodes.container("", table, classes=["scoreboard-box"], is_div=True)
        return [nodes.raw("", self.filter(rows), format="html"), box]

    def row(self, row: Row) -> nodes.row:
        """Return one row; its classes are what the filter reads."""
        printed: nodes.Node = nodes.Text(row.printed)
        if row.claim is not None:
            source = row.claim.printed
            printed = explained(
                row.printed, f"{source.unit}; {source.source} ({source.provenance})", "printed"
            )
        figures = [printed, _lines(row.recorded), _lines(row.built), _verdict(row.verdict)]
        classes = ["part-" + row.chapter.part, verdict_class(row.verdict)]
        name = row.chapter.title.split(":")[0]
        cells = [
            _entry(self.page_link(row.chapter, name)),
            _entry(self.claim_link(row)),
            *map(_entry, figures),
        ]
        return nodes.row("", *cells, classes=classes)

    def filter(self, rows: list[Row]) -> str:
        """Return the two choices and the place for the count; scoreboard.js brings them to life."""
        parts = [(f"part-{part}", name) for part, name in PARTS.items()]
        present = {row.verdict for row in rows}
        verdicts = [(verdict_class(name), name) for name in (*VERDICTS, PLANNED) if name in present]
        return (
            '<form class="scoreboard-filter" id="scoreboard-filter" hidden '
            'aria-label="Filter the scoreboard">'
            + _choice("part", "Part", parts)
            + _choice("verdict", "Verdict", verdicts)
            + '<p id="scoreboard-count" role="status"></p></form>'
        )


def _choice(name: str, label: str, options: list[tuple[str, str]]) -> str:
    listed = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options)
    return (
        f'<label for="scoreboard-{name}">{label}</label>'
        f'<select id="scoreboard-{name}"><option value="">all</option>{listed}</select>'
    )


class Totals(RecordDirective):
    """Counts of chapters, claims and verdicts."""

    def body(self, records: Records) -> list[nodes.Node]:
        """Return a list of counts."""
        counted = totals(records, all_rows(records))
        shown = [
            (f"{counted['published']} of {counted['chapters']}", "chapters published", ""),
            (str(counted["claims"]), "claims stated", ""),
        ]
        shown += [(str(counted[name]), name, verdict_class(name)) for name in VERDICTS if name in counted]
        tiles = nodes.bullet_list(classes=["totals"])
        for number, words, kind in shown:
            figure = nodes.strong(number, number, classes=[kind] if kind else [])
            tiles += nodes.list_item("", nodes.paragraph("", "", figure, nodes.Text(" " + words)))
        return [tiles]


class Chapters(RecordDirective):
    """One card a chapter."""

    def body(self, records: Records) -> list[nodes.Node]:
        """Return the cards of each part under the part's name."""
        by_part: dict[str, list[Chapter]] = defaultdict(list)
        for chapter in records.chapters.values():
            by_part[chapter.part].append(chapter)
        shown: list[nodes.Node] = []
        for part in (part for part in PARTS if by_part[part]):
            shown.append(nodes.rubric(PARTS[part], PARTS[part], classes=["chapter-part"]))
            cards = [self.card(records, chapter) for chapter in by_part[part]]
            shown.append(nodes.bullet_list("", *cards, classes=["chapter-cards"]))
        return shown

    def card(self, records: Records, chapter: Chapter) -> nodes.list_item:
        """Return a chapter's card: title, what the system does, venue, verdicts."""
        heading = nodes.paragraph("", "", self.page_link(chapter), classes=["card-title"])
        about = nodes.paragraph(chapter.system, chapter.system + ".")
        venue = nodes.paragraph(chapter.venue, chapter.venue, classes=["card-venue"])
        state = nodes.paragraph(classes=["card-verdicts"])
        counts: dict[str, int] = {}
        for row in chapter_rows(records, chapter):
            counts[row.verdict] = counts.get(row.verdict, 0) + 1
        for verdict, count in counts.items():
            text = verdict if verdict == PLANNED else f"{count} {verdict}"
            state += nodes.inline(text, text, classes=["echobook-verdict", verdict_class(verdict)])
            state += nodes.Text(" ")
        return nodes.list_item("", heading, about, venue, state, classes=["card-" + chapter.status])


class DataCards(RecordDirective):
    """All data cards with the facts of the registry."""

    def body(self, records: Records) -> list[nodes.Node]:
        """Return the cards, parsed as Markdown at the place of the directive."""
        facts = registry_facts(records.root / "data" / "registry.csv")
        target = nodes.container(classes=["data-cards"], is_div=True)
        cards = sorted((records.root / "data" / "cards").glob("*.md"))
        if not cards:
            note = "No data set is in use yet."
            return [nodes.paragraph(note, note)]
        for card in cards:
            self.env.note_dependency(str(card))
            lines = card.read_text(encoding="utf-8").splitlines()
            if card.stem in facts:
                lines += ["", *facts[card.stem].splitlines(), ""]
            self.state.nested_parse(StringList(_demote(lines), source=str(card)), 0, target, match_titles=1)
        return list(target.children)


def _demote(lines: list[str]) -> list[str]:
    """Lower headings by one level, as the page has its own title; fenced text is left alone."""
    fenced, lowered = False, []
    for line in lines:
        if line.lstrip().startswith("```"):
            fenced = not fenced
        lowered.append("#" + line if line.startswith("#") and not fenced else line)
    return lowered


def registry_facts(path: Path) -> dict[str, str]:
    """Return one Markdown line for each data set: files, bytes, licence and what it permits."""
    if not path.is_file():
        return {}
    files: dict[str, list[dict[str, str]]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            files[row["dataset"]].append(row)
    return {name: _fact_line(name, rows) for name, rows in files.items()}


def _fact_line(name: str, rows: list[dict[str, str]]) -> str:
    size = sum(int(row["bytes"]) for row in rows) / 1e6
    licences = " / ".join(sorted({row["licence"] for row in rows}))
    repositories = ", ".join(sorted({f"`{row['repo']}` at `{row['commit'][:12]}`" for row in rows}))

    def permits(field: str) -> str:
        return ", ".join(sorted({row[field] for row in rows}))

    return (
        f":::{{admonition}} Registry: {name}\n:class: registry\n"
        f"{len(rows)} files, {size:,.2f} MB, from {repositories}. Licence: {licences}. "
        f"Redistribution: {permits('redistribution')}; commercial use: {permits('commercial')}. "
        f"Fetch with `echobook fetch {name}`.\n:::"
    )


DIRECTIVES = {"scoreboard": Scoreboard, "totals": Totals, "chapters": Chapters, "datacards": DataCards}


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    app.setup_extension("echobook.sphinx.executed")
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
