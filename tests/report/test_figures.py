"""The book's figure style: settings inside only, notebook figures stay visible, palettes, refusals."""

import matplotlib
import pytest

from echobook.report.errors import ReportError
from echobook.report.figures import SETTINGS, figure_style, palette


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
