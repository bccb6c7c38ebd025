"""Figures that look alike, read the same in both colour modes, and have the same bytes in every run.

`figure_style` also settles how a notebook shows figures: as SVG, sharp on every screen, with fixed ids and no
date; a dense one (an image, a fine mesh, or many points) as PNG at 200 dots an inch. The ground is white; in
dark mode the book's stylesheet turns SVG figures over (light lines on dark) and leaves PNG ones as they are.
"""

import contextlib
import io
from collections.abc import Iterator
from typing import Any

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
DENSE_DPI = 200
DENSE_MARKS = 2_000  # points of one scatter plot, or cells of one mesh: from here on SVG is slow and large
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
        show_sharp()
        yield
        # A notebook's backend turns interactive mode on with its first figure; were that undone here, later
        # figures would not be shown.
        interactive = matplotlib.is_interactive()
    matplotlib.interactive(interactive)


def is_dense(figure: Any) -> bool:
    """Say whether a figure holds an image, or a mesh or scatter plot of `DENSE_MARKS` or more."""
    for axes in figure.axes:
        sizes = [_marks(collection) for collection in axes.collections]
        if axes.images or max(sizes, default=0) >= DENSE_MARKS:
            return True
    return False


def _marks(collection: Any) -> int:
    """Number of points of a scatter plot, or of cells of a mesh."""
    found = collection.get_offsets() if hasattr(collection, "get_sizes") else collection.get_array()
    return 0 if found is None else len(found) if found.ndim == 2 and found.shape[1] == 2 else found.size


def as_svg(figure: Any) -> str | None:
    """Return a figure as SVG text, equal in every run; None for a dense one."""
    return None if is_dense(figure) else _saved(figure, "svg").decode("utf-8")


def as_png(figure: Any) -> bytes | None:
    """Return a dense figure as PNG, equal in every run; None for another one."""
    return _saved(figure, "png", dpi=DENSE_DPI) if is_dense(figure) else None


def _saved(figure: Any, form: str, **options: Any) -> bytes:
    import matplotlib

    options["metadata"] = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
    colours = {"facecolor": figure.get_facecolor(), "edgecolor": figure.get_edgecolor()}
    stream = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": SETTINGS["svg.hashsalt"], "svg.fonttype": "path"}):
        figure.savefig(stream, format=form, bbox_inches="tight", **colours, **options)
    return stream.getvalue()


def show_sharp() -> None:
    """Make the notebook at hand, if there is one, show figures as this module gives them."""
    from IPython.core.getipython import get_ipython
    from matplotlib.figure import Figure

    shell = get_ipython()  # type: ignore[no-untyped-call]
    if shell is None or shell.display_formatter is None:
        return
    with contextlib.suppress(ImportError):
        import matplotlib_inline.backend_inline  # noqa: F401  it sets a format of its own when first imported
    formatters = shell.display_formatter.formatters
    formatters["image/svg+xml"].for_type(Figure, as_svg)
    formatters["image/png"].for_type(Figure, as_png)
