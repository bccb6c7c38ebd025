"""Marks of interval plots as inline SVG: a bar for one row, an axis above and below.

Places along a bar are per cent of its width, so a plot fits a screen and a phone alike and its marks keep
their shape. Shapes and words carry the meaning; colours come from the stylesheet by class and fall back to
the colour of the text, so that a plot can be read in both colour modes and without the stylesheet.
"""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

HEIGHT = 26  # pixels of a bar
MIDDLE = HEIGHT // 2
EDGE = 2.5  # per cent left free at both ends, for arrow heads and round marks
# The marks of an estimate: each decision has its own shape, round the origin.
SHAPES = {
    "holds": '<circle r="5.5" class="dot" fill="currentColor"/>',
    "holds, smaller": '<circle r="5" class="dot open" fill="none" stroke="currentColor" stroke-width="1.6"/>'
    '<path d="M0-5A5 5 0 0 0 0 5Z" class="dot" fill="currentColor"/>',
    "fails": '<path d="M-5-5 5 5M-5 5 5-5" class="dot" fill="none" stroke="currentColor" '
    'stroke-width="2.4"/>',
    "undecided": '<circle r="5" class="dot open" fill="none" stroke="currentColor" stroke-width="1.6"/>',
    "paper": '<path d="M0-6 6 0 0 6-6 0Z" class="paper" fill="none" stroke="currentColor" '
    'stroke-width="1.6"/>',
}
KINDS = {
    "holds": "good",
    "holds, smaller": "part",
    "fails": "bad",
    "undecided": "none",
}


@dataclass(frozen=True)
class Span:
    """The values from `left` to `right` that an axis shows."""

    left: float
    right: float

    def place(self, value: float) -> float:
        """Return where a value stands, in per cent of the width; beyond the ends it is at the end."""
        share = (min(max(value, self.left), self.right) - self.left) / (self.right - self.left)
        return round(EDGE + share * (100 - 2 * EDGE), 2)

    def shows(self, value: float) -> bool:
        """Say whether a value is within the ends."""
        return self.left <= value <= self.right

    def whole(self) -> list[float]:
        """Return the whole numbers that it shows."""
        return [float(value) for value in range(math.ceil(self.left), math.floor(self.right) + 1)]


def span_of(values: Sequence[float], *, least: Span, most: Span) -> Span:
    """Return the span that shows all `values`, at least `least` and at most `most`."""
    left = min([*values, least.left], default=least.left)
    right = max([*values, least.right], default=least.right)
    return Span(max(left, most.left), min(right, most.right))


def shape(name: str, where: float) -> str:
    """Return a mark of `SHAPES` at a place in per cent."""
    return f'<svg x="{where}%" y="{MIDDLE}" overflow="visible">{SHAPES[name]}</svg>'


def sample(name: str) -> str:
    """Return a mark alone, for a legend."""
    return (
        f'<svg class="sample {KINDS.get(name, "")}" width="16" height="16" viewBox="-8 -8 16 16" '
        f'aria-hidden="true">{SHAPES[name]}</svg>'
    )


def upright(kind: str, where: float) -> str:
    """Return an upright line of a class (`bound`, `least`) over the height of a bar."""
    dash = ' stroke-dasharray="3 3"' if kind == "least" else ""
    return (
        f'<line class="{kind}" x1="{where}%" x2="{where}%" y1="0" y2="{HEIGHT}" stroke="currentColor"{dash}/>'
    )


def zone(span: Span, left: float, right: float) -> str:
    """Return the shaded ground from `left` to `right`; an infinite end reaches the edge."""
    start = 0.0 if left < span.left else span.place(left)
    end = 100.0 if right > span.right else span.place(right)
    if end <= start:
        return ""
    width = round(end - start, 2)
    return (
        f'<rect class="zone" x="{start}%" width="{width}%" height="{HEIGHT}" fill="currentColor" '
        'fill-opacity=".1"/>'
    )


def whisker(span: Span, low: float, high: float) -> str:
    """Return an interval as a line; an end outside the span is an arrow head."""
    ends = []
    for value, sign in ((low, -1), (high, 1)):
        where = span.place(value)
        path = "M0-4V4" if span.shows(value) else f"M{-5 * sign}-4 0 0 {-5 * sign} 4"
        ends.append(f'<svg x="{where}%" y="{MIDDLE}" overflow="visible"><path d="{path}"/></svg>')
    line = f'x1="{span.place(low)}%" x2="{span.place(high)}%" y1="{MIDDLE}" y2="{MIDDLE}"'
    look = 'class="whisker" fill="none" stroke="currentColor" stroke-width="1.6"'
    return f"<g {look}><line {line}/>{''.join(ends)}</g>"


def bar(parts: Sequence[str], said: str, kind: str = "") -> str:
    """Return the parts as one picture over the whole width, with a text in its place."""
    return (
        f'<svg class="bar {kind}" width="100%" height="{HEIGHT}" role="img" '
        f'aria-label="{html.escape(said)}">{"".join(parts)}</svg>'
    )


def axis(span: Span, numbers: Sequence[float], words: Sequence[tuple[float, str, str]] = ()) -> str:
    """Return an axis: a line of words (place, anchor, text) over a line of numbers, as far as it shows them.

    Screen readers pass over it, as the rows say the same in full.
    """
    upper = [_word(span, value, 11, anchor, text) for value, anchor, text in words if span.shows(value)]
    below = 25 if words else 12
    lower = [_word(span, value, below, "middle", _number(value)) for value in numbers if span.shows(value)]
    drawn = "".join(upper + lower)
    return f'<svg class="bar axis" width="100%" height="{below + 5}" aria-hidden="true">{drawn}</svg>'


def _word(span: Span, value: float, top: int, anchor: str, text: str) -> str:
    where = f'x="{span.place(value)}%" y="{top}" fill="currentColor"'
    return f'<text {where} style="text-anchor: {anchor}">{html.escape(text)}</text>'


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")
