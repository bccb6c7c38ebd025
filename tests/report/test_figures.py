"""The book's figure style: settings inside only, notebook figures stay visible, palettes, refusals."""

from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.core.formatters import PNGFormatter, SVGFormatter

from echobook.report.errors import ReportError
from echobook.report.figures import (
    DENSE_DPI,
    DENSE_MARKS,
    SETTINGS,
    as_png,
    as_svg,
    figure_style,
    is_dense,
    palette,
)


def test_settings_hold_inside_and_are_put_back() -> None:
    before = {name: matplotlib.rcParams[name] for name in SETTINGS}
    with figure_style():
        assert matplotlib.rcParams["savefig.dpi"] == SETTINGS["savefig.dpi"]
        assert matplotlib.rcParams["figure.facecolor"] == "white"
    assert {name: matplotlib.rcParams[name] for name in SETTINGS} == before


def test_a_backend_that_becomes_interactive_stays_so() -> None:
    """As a notebook's does at its first figure; else the figures of later cells would be lost."""
    assert not matplotlib.is_interactive()
    try:
        with figure_style():
            matplotlib.interactive(True)
        assert matplotlib.is_interactive()
        with figure_style():
            pass
        assert matplotlib.is_interactive()
    finally:
        matplotlib.interactive(False)


def test_settings_are_put_back_after_an_error() -> None:
    before = matplotlib.rcParams["figure.dpi"]
    with pytest.raises(ZeroDivisionError), figure_style():
        raise ZeroDivisionError
    assert matplotlib.rcParams["figure.dpi"] == before


def test_palettes() -> None:
    assert palette("pair") == [*palette("blue"), *palette("orange")]
    assert len(set(palette())) == 7
    palette("default").clear()
    assert len(palette()) == 7
    with pytest.raises(ReportError, match="palette 'mauve': expected one of default, pair, blue"):
        palette("mauve")


def drawn(plot):
    """A figure drawn by `plot` on fresh axes."""
    with figure_style():
        figure, axes = plt.subplots()
        plot(axes)
    plt.close(figure)
    return figure


PLOTS = {
    "line": (lambda axes: axes.plot([0, 1], [1, 0], marker="o"), False),
    "few points": (lambda axes: axes.scatter(range(DENSE_MARKS - 1), range(DENSE_MARKS - 1)), False),
    "many points": (lambda axes: axes.scatter(range(DENSE_MARKS), range(DENSE_MARKS)), True),
    "small mesh": (lambda axes: axes.pcolormesh(np.eye(10)), False),
    "fine mesh": (lambda axes: axes.pcolormesh(np.eye(50)), True),
    "image": (lambda axes: axes.imshow(np.eye(3)), True),
    "band": (lambda axes: axes.fill_between([0, 1], [0, 0], [1, 1]), False),
    "bars": (lambda axes: axes.bar([0, 1], [1, 2]), False),
}


@pytest.mark.parametrize("name", PLOTS)
def test_dense_figures_are_png_and_others_svg(name) -> None:
    plot, dense = PLOTS[name]
    figure = drawn(plot)
    assert is_dense(figure) == dense
    svg, png = as_svg(figure), as_png(figure)
    assert (svg is None, png is None) == (dense, not dense)
    if png is not None:
        assert png.startswith(b"\x89PNG")
        width = int.from_bytes(png[16:20], "big")
        assert width > 0.5 * 6.4 * DENSE_DPI
    else:
        assert "<svg" in svg


@pytest.mark.parametrize("name", ["line", "small mesh", "image"])
def test_two_runs_give_the_same_bytes_without_a_date(name) -> None:
    plot, _ = PLOTS[name]
    first, second = drawn(plot), drawn(plot)
    assert (as_svg(first), as_png(first)) == (as_svg(second), as_png(second))
    assert "dc:date" not in (as_svg(first) or "")
    assert b"tEXt" not in (as_png(first) or b"")


class Shell:
    """What `show_sharp` needs of a notebook."""

    def __init__(self) -> None:
        self.display_formatter = SimpleNamespace(
            formatters={"image/svg+xml": SVGFormatter(), "image/png": PNGFormatter()}
        )


def test_a_notebook_shows_svg_or_png_and_never_both(monkeypatch) -> None:
    shell = Shell()
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: shell)
    line, image = drawn(PLOTS["line"][0]), drawn(PLOTS["image"][0])
    shown = {
        kind: [formatter(figure) is not None for figure in (line, image)]
        for kind, formatter in shell.display_formatter.formatters.items()
    }
    assert shown == {"image/svg+xml": [True, False], "image/png": [False, True]}
