"""A small transducer lattice as a figure: frames to the right, labels upwards, a number on each move.

A node stands for a frame and the number of labels written before. The blank move goes to the right, the
label move up; the blank out of the top right node leads to the end. Moves that no complete path takes (blanks
out of the last frame below the top) are not drawn. Axes: T frames, U labels, U1 = U+1 rows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from echobook.report.errors import ReportError
from echobook.report.figures import palette

RADIUS = 0.2


def draw_lattice(
    axes: Any,
    blank: Float[np.ndarray, "T U1"],
    label: Float[np.ndarray, "T U1"],
    *,
    words: Sequence[str],
    nodes: Float[np.ndarray, "T U1"] | None = None,
    digits: int = 3,
    shares: bool = False,
) -> None:
    """Draw the lattice on matplotlib axes.

    `blank`, `label`: numbers on the two moves out of each node (the last row of `label` is not read).
    `words`: the U labels. `nodes`: numbers in the nodes; without them the nodes show frame and row. `digits`:
    most decimals shown. `shares`: the numbers on the moves are shares of paths, drawn as widths too. Raises
    ReportError when rows, labels and nodes do not fit together.
    """
    frames, rows = blank.shape
    if (
        label.shape != blank.shape
        or len(words) != rows - 1
        or (nodes is not None and nodes.shape != blank.shape)
    ):
        raise ReportError(
            f"draw_lattice: blank {blank.shape}, label {label.shape}, nodes "
            f"{None if nodes is None else nodes.shape} and {len(words)} words; expected equal shapes (T, U+1)"
        )
    for t in range(frames):
        for u in range(rows):
            inner = f"{t},{u}" if nodes is None else _short(nodes[t, u], digits)
            axes.add_patch(_circle((t, u)))
            axes.text(t, u, inner, ha="center", va="center", fontsize=8, zorder=4)
            if t < frames - 1 or u == rows - 1:
                _arrow(axes, (t, u), (1, 0), blank[t, u], digits, shares)
            if u < rows - 1:
                _arrow(axes, (t, u), (0, 1), label[t, u], digits, shares)
    axes.text(frames - 1 + RADIUS + 0.72, rows - 1, "end", ha="center", va="center", fontsize=9)
    _name_axes(axes, frames, rows, words)


def _name_axes(axes: Any, frames: int, rows: int, words: Sequence[str]) -> None:
    axes.set(xlim=(-0.4, frames + 0.2), ylim=(-0.4, rows - 0.6), aspect="equal")
    axes.set_xticks(range(frames), [f"frame {t}" for t in range(frames)])
    axes.set_yticks(range(rows), ["nothing yet", *[f"after {word}" for word in words]])
    axes.grid(False)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _short(number: float, digits: int) -> str:
    """At most `digits` decimals, without zeros at the end."""
    text = f"{number:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _circle(place: tuple[int, int]) -> Any:
    from matplotlib.patches import Circle

    return Circle(place, RADIUS, facecolor="white", edgecolor="black", zorder=3)


def _arrow(
    axes: Any, start: tuple[int, int], step: tuple[int, int], number: float, digits: int, shares: bool
) -> None:
    """One move with its number: blanks in the first colour, labels in the second."""
    begin, end = np.add(start, np.multiply(step, RADIUS)), np.add(start, np.multiply(step, 1 - RADIUS))
    colour = palette("pair")[step[1]]
    width = 0.6 + 4.4 * float(number) if shares else 1.4
    style = {"arrowstyle": "-|>", "color": colour, "lw": width, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, begin, arrowprops=style)
    back = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"}
    axes.text(
        *(begin + end) / 2,
        _short(number, digits),
        ha="center",
        va="center",
        fontsize=8,
        color=colour,
        bbox=back,
    )
