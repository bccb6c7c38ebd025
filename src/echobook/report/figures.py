"""Figures that look alike, read the same in both colour modes, and have the same bytes in every run."""

import contextlib
from collections.abc import Iterator

from echobook.report.errors import ReportError

# Okabe and Ito's colours (Color Universal Design, 2008), told apart with all common kinds of colour vision.
_COLOURS = {
    "blue": "#0072B2",
    "orange": "#D55E00",
    "green": "#009E73",
    "pink": "#CC79A7",
    "amber": "#E69F00",
    "sky": "#56B4E9",
    "black": "#000000",
}
_PALETTES = {"default": list(_COLOURS.values()), "pair": [_COLOURS["blue"], _COLOURS["orange"]]}
SETTINGS = {
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.facecolor": "white",
    "figure.figsize": (6.4, 3.6),
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "svg.hashsalt": "echobook",
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def palette(name: str = "default") -> list[str]:
    """Return colours by palette name (`default`, `pair`), or one colour by its own name, as hex strings."""
    if name in _COLOURS:
        return [_COLOURS[name]]
    if name not in _PALETTES:
        raise ReportError(f"palette {name!r}: expected one of {', '.join([*_PALETTES, *_COLOURS])}")
    return list(_PALETTES[name])


@contextlib.contextmanager
def figure_style() -> Iterator[None]:
    """Draw what is inside with the book's theme: `with figure_style(): figure, axes = plt.subplots()`."""
    import matplotlib
    import seaborn

    with matplotlib.rc_context():
        seaborn.set_theme(style="whitegrid", palette=palette(), rc=SETTINGS)
        yield
        # A notebook's backend turns interactive mode on with its first figure; were that undone here, later
        # figures would not be shown.
        interactive = matplotlib.is_interactive()
    matplotlib.interactive(interactive)
