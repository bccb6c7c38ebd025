"""HTML for pages: verdict badges, figures with units, the provenance stamp. Text and shape carry the meaning,
never colour alone; colours come from the book's stylesheet, for light and dark, by these classes:

`echobook-verdict` with one of `verdict-reproduced`, `verdict-partly`, `verdict-not`, `verdict-undecided`,
`verdict-untestable`, `verdict-pending`, for checks `check-passed`, `check-failed`, `check-pending` (badge);
`echobook-verdict-box`; `echobook-stamp`. Figures that change from run to run (seconds, memory, dates) stand
in `<data class="echobook-volatile">`, so that two runs can be compared byte for byte.
"""

import html
import math
import re

from echobook.report.outcomes import CheckTestOutcome, Decision, TestOutcome, Verdict
from echobook.report.results import Dataset, Results

CLASSES: dict[Verdict, str] = {
    "reproduced": "verdict-reproduced",
    "partly reproduced": "verdict-partly",
    "not reproduced": "verdict-not",
    "undecided": "verdict-undecided",
    "not testable here": "verdict-untestable",
    "not yet recorded": "verdict-pending",
}
SIGNS: dict[Verdict, str] = {
    "reproduced": "✓",
    "partly reproduced": "◐",
    "not reproduced": "✗",
    "undecided": "?",
    "not testable here": "–",
    "not yet recorded": "…",
}
CHECKED: dict[bool | None, tuple[str, str, str]] = {
    True: ("✓", "passed", "check-passed"),
    False: ("✗", "failed", "check-failed"),
    None: ("…", "not yet recorded", "check-pending"),
}
# The same shapes as in the forest plot.
DECISIONS: dict[Decision, str] = {"holds": "●", "holds, smaller": "◐", "fails": "✗", "undecided": "○"}
_RELATIONS = {"<": "<", "<=": "≤", ">": ">", ">=": "≥", "==": "="}
_VOLATILE = re.compile(r'(<data class="echobook-volatile"[^>]*>).*?(</data>)', re.DOTALL)


class Html:
    """A piece of HTML that notebooks show; printed, it is its plain text, the same in every run."""

    def __init__(self, markup: str) -> None:
        self.markup = markup

    def _repr_html_(self) -> str:
        return self.markup

    def __repr__(self) -> str:
        text = re.sub(r"<[^>]+>", " ", _VOLATILE.sub(r"\1\2", self.markup))
        return re.sub(r"\s+", " ", html.unescape(text)).strip()


def strip_volatile(markup: str) -> str:
    """Return the markup with the content of volatile figures removed."""
    return _VOLATILE.sub(r"\1\2", markup)


def volatile(text: str) -> str:
    """Mark a figure that changes from run to run."""
    return f'<data class="echobook-volatile" value="">{html.escape(text)}</data>'


def badge(verdict: Verdict) -> str:
    """Return the verdict as a badge: sign and words."""
    sign = f'<span aria-hidden="true">{SIGNS[verdict]}</span>'
    return f'<span class="echobook-verdict {CLASSES[verdict]}">{sign} {verdict}</span>'


def figure(value: float, digits: int = 3) -> str:
    """Return a number with `digits` decimals below 1, and fewer above: 0.052, 1.53, 14.6, 3,047.

    Where that would show only zeros there are two significant digits; zero is 0.
    """
    if value == 0:
        return "0"
    size = abs(value)
    places = digits if size < 1 else max(0, digits - 1 - math.floor(math.log10(size)))
    text = f"{value:,.{places}f}" if size >= 10.0**-digits else f"{value:.2g}"
    return text.replace("-", "−")


def range_text(low: float | None, high: float | None, digits: int = 3) -> str:
    """Return ` [low, high]`, or nothing when there is no interval."""
    if low is None or high is None:
        return ""
    return f" [{figure(low, digits)}, {figure(high, digits)}]"


def with_unit(text: str, unit: str, words: str) -> str:
    """Return a figure with its unit, unless the words beside it name the unit already."""
    named = re.search(rf"(?<!\w){re.escape(unit)}(?!\w)", words, re.IGNORECASE)
    return text if named or not unit else f"{text} {unit}"


def figures_text(outcome: TestOutcome, digits: int = 3) -> str:
    """Return a test's estimate, interval and unit."""
    shown = figure(outcome.estimate, digits) + range_text(outcome.low, outcome.high, digits)
    return with_unit(shown, outcome.unit, outcome.words)


def outcome_text(outcome: TestOutcome, digits: int = 3) -> str:
    """Return a test's words and figures."""
    return f"{outcome.words}: {figures_text(outcome, digits)}"


def seeds_text(count: int) -> str:
    """Say how many seeds a figure rests on."""
    return f"{count} seed" if count == 1 else f"{count} seeds"


def rounded(value: float) -> str:
    """Return a number that was set by somebody, such as a bound, without zeros at the end."""
    return f"{value:.4g}".replace("-", "−")


def check_text(outcome: CheckTestOutcome) -> str:
    """Return the figure of a check's test: words, the value furthest from its limit, unit, the limit."""
    relation, limit = outcome.test.limit
    shown = with_unit(figure(outcome.worst), outcome.test.unit, outcome.test.words)
    return f"{outcome.test.words}: {shown} ({_RELATIONS[relation]} {rounded(limit)})"


def check_badge(passed: bool | None) -> str:
    """Return whether a check passed as a badge: sign and words."""
    sign, words, kind = CHECKED[passed]
    return f'<span class="echobook-verdict {kind}"><span aria-hidden="true">{sign}</span> {words}</span>'


def _dataset_text(dataset: Dataset) -> str:
    rows = ", ".join(f"{name} {count:,}" for name, count in dataset.rows.items())
    return f"{dataset.name} {dataset.version} (sha256 {dataset.sha256[:12]}; {dataset.licence}; rows: {rows})"


def stamp(results: Results) -> Html:
    """Return the provenance stamp that closes a chapter."""
    where, cost = results.environment, results.cost
    state = ", with uncommitted changes" if where.dirty else ""
    rows = {
        "Run": f"{results.slug}, profile {results.profile}, seed {results.seed}",
        "Commit": volatile(where.commit[:12] + state),
        "Sources": volatile(f"sha256 {where.closure_sha256[:12]}"),
        "Lock": html.escape(f"sha256 {where.lock_sha256[:12]}"),
        "Data": html.escape("; ".join(_dataset_text(dataset) for dataset in results.datasets) or "none"),
        "Packages": html.escape(", ".join(f"{name} {version}" for name, version in where.packages.items())),
        "Hardware": volatile(f"{where.hardware}, {where.threads} thread{'' if where.threads == 1 else 's'}"),
        "Cost": volatile(
            f"{cost.cpu_seconds:.1f} CPU-s, {cost.wall_seconds:.1f} s, {cost.peak_memory_mib:.0f} MiB"
            + (f"; read results that took {cost.kept_cpu_seconds:.1f} CPU-s" if cost.kept_cpu_seconds else "")
        ),
        "Date": volatile(where.date),
    }
    body = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows.items())
    return Html(f'<section class="echobook-stamp" aria-label="Provenance"><dl>{body}</dl></section>')
