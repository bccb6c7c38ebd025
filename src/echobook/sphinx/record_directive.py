"""What directives that read the records share: dependencies, faults as warnings, links, badges."""

from docutils import nodes
from sphinx import addnodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from echobook.report.claims import Check, Finding
from echobook.report.errors import ReportError
from echobook.sphinx.chapters import Chapter, RegistryError
from echobook.sphinx.records import Records, records_of
from echobook.sphinx.roles import verdict_class

LOG = logging.getLogger(__name__)


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

    def claim_link(self, statement: Finding | Check) -> nodes.Node:
        """Return the words of a finding or check, linked to the cell that shows it."""
        text = f"{statement.id}. {statement.statement}"
        return addnodes.pending_xref(
            "", nodes.inline(text, text), refdomain="std", reftype="ref", reftarget=statement.anchor,
            refexplicit=True, refwarn=True, refdoc=self.env.docname,
        )  # fmt: skip


def badge(words: str, sign: str, kind: str = "") -> nodes.Node:
    """Return a verdict, or words for a state that is none, as a badge."""
    text = f"{sign} {words}".strip()
    return nodes.inline(text, text, classes=["echobook-verdict", kind or verdict_class(words)])
