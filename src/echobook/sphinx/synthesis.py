"""The directive ```` ```{synthesis} NAME ````: one table of the page 'What held up, and why'.

NAME: verdicts, effects, controls, cost, or open.
"""

from collections.abc import Callable

from docutils import nodes

from echobook.report.synthesis import Entry
from echobook.report.synthesis_tables import (
    controls_table,
    cost_table,
    effects_table,
    open_table,
    verdicts_tables,
)
from echobook.sphinx.chapters import PARTS
from echobook.sphinx.record_directive import RecordDirective
from echobook.sphinx.records import Records
from echobook.sphinx.rows import judged

TABLES = {
    "verdicts": verdicts_tables,
    "effects": effects_table,
    "controls": controls_table,
    "cost": cost_table,
}


class Synthesis(RecordDirective):
    """One table over all chapters, with a sentence that sums it up."""

    required_arguments = 1

    def body(self, records: Records) -> list[nodes.Node]:
        """Return the table that the argument names; another name is an error of the build."""
        name = self.arguments[0]
        entries = [Entry(PARTS[chapter.part], chapter.venue, board) for chapter, board in judged(records)]
        if name == "open":
            return [nodes.raw("", open_table(entries, self.address(records)), format="html")]
        if name not in TABLES:
            known = ", ".join([*TABLES, "open"])
            raise self.error(f"synthesis: expected one of {known}; found {name!r}")
        return [nodes.raw("", TABLES[name](entries), format="html")]

    def address(self, records: Records) -> Callable[[str, str], str]:
        """Return the function from slug and anchor to an address, seen from this page."""
        builder, here = self.env.app.builder, self.env.docname
        return lambda slug, anchor: (
            f"{builder.get_relative_uri(here, records.chapter(slug).docname)}#{anchor}"
        )
