"""Sphinx roles that put figures into sentences from the records, so that no result is typed.

- `` {result}`advin:discovery/ari/transfer|.3f` ``   recorded public mean over seeds;
- `` {interval}`advin:discovery/ari/transfer|.3f` `` its 95 % interval, as "low to high";
- `` {verdict}`advin:C3` ``                          the verdict on a finding, or a check's;
- `` {printed}`advin:C3` ``                          the paper's figure, its source as a tooltip;
- `` {fact}`74 % <source>` ``                        a figure from the literature, its source as a tooltip.

The part after `|` is a Python format. Without a record the text says so; on a published chapter that is a
warning, hence an error under `-W`.
"""

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from echobook.report.display import CHECKED, CLASSES, seeds_text
from echobook.report.errors import ReportError
from echobook.report.verdicts import CheckOutcome, Estimate
from echobook.sphinx.records import NOT_YET, Records, records_of

LOG = logging.getLogger(__name__)
FACT = re.compile(r"(?P<text>.+?)\s*<(?P<source>[^<>]+)>", re.DOTALL)
TARGET = re.compile(r"(?P<slug>[a-z0-9-]+):(?P<name>[A-Za-z0-9/-]+)(\|(?P<format>.+))?")


def verdict_class(verdict: str) -> str:
    """Return the CSS class of a verdict (or of a state that is none)."""
    known = {str(name): kind for name, kind in CLASSES.items()}
    return known.get(verdict, "verdict-" + verdict.replace(" ", "-"))


def explained(text: str, why: str, kind: str) -> nodes.Node:
    """Return text with a tooltip."""
    return nodes.abbreviation(text, text, explanation=why, classes=["echobook-" + kind])


class RecordRole(SphinxRole):
    """Base of the roles: parses the target, notes the files it depends on, reports what is wrong."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the node of the role; trouble becomes a warning with file and line."""
        try:
            return [self.node(records_of(self.env.app))], []
        except ReportError as error:
            self.warn(str(error))
            return [nodes.inline(self.text, self.text, classes=["echobook-missing"])], []

    def warn(self, message: str) -> None:
        """Report a fault at the place of the role."""
        LOG.warning(f"{self.name} role `{self.text}`: {message}", location=self.get_location())

    def target(self, records: Records) -> tuple[str, str, str]:
        """Return slug, metric or claim, and format."""
        found = TARGET.fullmatch(self.text.strip())
        if not found:
            raise ReportError("expected slug:name or slug:metric|format, such as advin:discovery/ari/raw|.3f")
        slug = records.chapter(found["slug"]).slug
        for path in records.files(slug):
            self.env.note_dependency(str(path))
        return slug, found["name"], found["format"] or ".3g"

    def node(self, records: Records) -> nodes.Node:
        """Return what the role shows."""
        raise NotImplementedError

    def missing(self, records: Records, slug: str) -> nodes.Node:
        """Return the words for a figure that no record holds yet."""
        if records.chapter(slug).published:
            self.warn(f"no recorded public results of published chapter {slug}; run make record SLUG={slug}")
        return nodes.inline(NOT_YET, NOT_YET, classes=["echobook-missing"])

    def formatted(self, value: float, fmt: str) -> str:
        """Return a number in a Python format, with a real minus sign."""
        try:
            return format(value, fmt).replace("-", "\N{MINUS SIGN}")
        except ValueError as error:
            raise ReportError(f"format {fmt!r}: {error}; expected a Python format such as .3f") from error


class ResultRole(RecordRole):
    """The recorded public mean of a metric."""

    def node(self, records: Records) -> nodes.Node:
        """Return the figure, its seeds and interval as a tooltip."""
        slug, metric, fmt = self.target(records)
        found = records.estimate(slug, metric)
        if found is None:
            return self.missing(records, slug)
        return explained(self.formatted(found.mean, fmt), self.provenance(found, metric, fmt), "result")

    def provenance(self, found: Estimate, metric: str, fmt: str) -> str:
        """Say where the figure comes from."""
        spread = ""
        if found.low is not None and found.high is not None:
            spread = f", 95 % interval {self.formatted(found.low, fmt)} to {self.formatted(found.high, fmt)}"
        return f"{metric}, mean over {seeds_text(len(found.seeds))}{spread}"


class IntervalRole(ResultRole):
    """The 95 % interval of a metric over seeds."""

    def node(self, records: Records) -> nodes.Node:
        """Return low and high."""
        slug, metric, fmt = self.target(records)
        found = records.estimate(slug, metric)
        if found is None:
            return self.missing(records, slug)
        if found.low is None or found.high is None:
            raise ReportError(f"{metric} has {seeds_text(len(found.seeds))}; an interval needs two or more")
        text = f"{self.formatted(found.low, fmt)} to {self.formatted(found.high, fmt)}"
        return explained(text, self.provenance(found, metric, fmt), "interval")


class VerdictRole(RecordRole):
    """The verdict on a finding, or whether a check passed."""

    def node(self, records: Records) -> nodes.Node:
        """Return the verdict as a coloured word, the statement as a tooltip."""
        slug, identity, _ = self.target(records)
        outcome = records.outcome(slug, identity)
        if isinstance(outcome, CheckOutcome):
            _, said, kind = CHECKED[outcome.passed]
            statement = outcome.check.statement
        else:
            said, kind = outcome.verdict, verdict_class(outcome.verdict)
            statement = outcome.finding.statement
        if said == NOT_YET:
            return self.missing(records, slug)
        node = explained(said, f"{identity}: {statement}", "verdict")
        node["classes"].append(kind)  # type: ignore[index]
        return node


class PrintedRole(RecordRole):
    """The figure the paper printed for a finding."""

    def node(self, records: Records) -> nodes.Node:
        """Return the paper's figure, its source as a tooltip."""
        slug, identity, _ = self.target(records)
        printed = records.claims(slug).finding(identity).printed
        return explained(printed.text, f"{printed.unit}; {printed.source} ({printed.provenance})", "printed")


class FactRole(RecordRole):
    """A figure from the literature that is typed, with its source."""

    def node(self, records: Records) -> nodes.Node:
        """Return the figure, its source as a tooltip."""
        found = FACT.fullmatch(self.text.strip())
        if not found:
            raise ReportError("expected a figure and its source in angle brackets: 74 % <Author 2020>")
        return explained(found["text"], found["source"], "fact")


ROLES = {
    "result": ResultRole,
    "interval": IntervalRole,
    "verdict": VerdictRole,
    "printed": PrintedRole,
    "fact": FactRole,
}


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    app.setup_extension("echobook.sphinx.executed")
    for name, role in ROLES.items():
        app.add_role(name, role())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
