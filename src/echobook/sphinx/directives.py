"""Sphinx directives that write tables, tiles and cards from the records.

- ```` ```{scoreboard} ````, ```` ```{checks} ````: every finding, every check (`echobook.sphinx.boards`);
- ```` ```{overview} ````, ```` ```{effects} ````: one row a paper; all effects beside the papers';
- ```` ```{synthesis} NAME ````: tables over all chapters (`echobook.sphinx.synthesis`);
- ```` ```{totals} ````: chapters, findings by verdict and checks counted;
- ```` ```{chapters} ````: one card a chapter, grouped by part, planned ones marked as such;
- ```` ```{datacards} ````: `data/cards/*.md`, each followed by what `data/registry.csv` says of its files.

Rows and cards link to claims and pages through ordinary cross-references, so a claim whose cell lacks its
anchor is a warning of Sphinx, hence an error under `-W`.
"""

import csv
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx

from echobook.report.display import SIGNS
from echobook.report.outcomes import Verdict
from echobook.report.scoreboard import by_verdict, plural
from echobook.report.scoreboard import totals as count_all
from echobook.sphinx.boards import Checks, Effects, Overview, Scoreboard, write_downloads
from echobook.sphinx.chapters import PARTS, Chapter
from echobook.sphinx.record_directive import RecordDirective, badge
from echobook.sphinx.records import Records
from echobook.sphinx.roles import verdict_class
from echobook.sphinx.rows import PLANNED, judged
from echobook.sphinx.synthesis import Synthesis


class Totals(RecordDirective):
    """Counts of chapters and checks, of findings of papers, and of ours."""

    def body(self, records: Records) -> list[nodes.Node]:
        """Return a row of tiles for each."""
        found = count_all([board for _, board in judged(records)])
        published = sum(chapter.published for chapter in records.chapters.values())
        tiles = [(f"{published} of {len(records.chapters)}", "chapters published", "")]
        if found.checks:
            kind = "check-passed" if found.passed == found.checks else "check-failed"
            tiles.append((f"{found.passed} of {found.checks}", "checks of our own code passed", kind))
        shown: list[nodes.Node] = [_tiles(tiles)]
        for counts, whose in ((found.papers, "of papers"), (found.ours, "of ours")):
            if sum(counts.values()):
                title = f"{plural(sum(counts.values()), 'finding')} {whose}"
                shown += [nodes.paragraph(title, title, classes=["totals-title"]), _tiles(_counted(counts))]
        return shown


def _counted(counts: Mapping[Verdict, int]) -> list[tuple[str, str, str]]:
    return [
        (f"{SIGNS[verdict]} {count}", verdict, verdict_class(verdict))
        for verdict, count in counts.items()
        if count
    ]


def _tiles(shown: list[tuple[str, str, str]]) -> nodes.Node:
    """Return figure, words and class of each tile as a list."""
    tiles = nodes.bullet_list(classes=["totals"])
    for number, words, kind in shown:
        figure = nodes.strong(number, number, classes=[kind] if kind else [])
        tiles += nodes.list_item("", nodes.paragraph("", "", figure, nodes.Text(" " + words)))
    return tiles


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
        for mark in self.marks(records, chapter):
            state += [mark, nodes.Text(" ")]
        return nodes.list_item("", heading, about, venue, state, classes=["card-" + chapter.status])

    def marks(self, records: Records, chapter: Chapter) -> list[nodes.Node]:
        """Return the chapter's findings by verdict, and its checks, as badges."""
        if not chapter.published or not records.has_claims(chapter.slug):
            return [badge(PLANNED, "")]
        board = records.board(chapter.slug)
        counts = by_verdict(board.findings).items()
        found = [
            badge(f"{count} {name}", SIGNS[name], verdict_class(name)) for name, count in counts if count
        ]
        checks = count_all([board])
        if checks.checks:
            kind = "check-passed" if checks.passed == checks.checks else "check-failed"
            found.append(badge(f"{checks.passed} of {plural(checks.checks, 'check')}", "", kind))
        return found


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


DIRECTIVES = {
    "scoreboard": Scoreboard,
    "checks": Checks,
    "overview": Overview,
    "effects": Effects,
    "synthesis": Synthesis,
    "totals": Totals,
    "chapters": Chapters,
    "datacards": DataCards,
}


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    app.setup_extension("echobook.sphinx.executed")
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    app.connect("build-finished", write_downloads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
