"""The lattice figure: which moves and numbers are drawn, widths, refusals."""

import inspect

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from echobook.report.errors import ReportError
from echobook.report.figures import palette
from echobook.report.lattice_figure import draw_lattice

BLANK = np.arange(1, 7).reshape(3, 2) / 10  # (T, U1): frame t, row u
LABEL = np.array([[0.71, 9], [0.72, 9], [0.73, 9]])  # the last row is never read


def drawn(**options):
    axes = Figure().subplots()
    draw_lattice(axes, BLANK, LABEL, words=["yes"], **options)
    return axes, [text.get_text() for text in axes.texts if text.get_text()]


def test_every_useful_move_is_drawn_once_with_its_number():
    axes, texts = drawn()
    # blanks: two rows from frames 0 and 1, then the closing one; labels: one a frame
    assert sorted(t for t in texts if t[0] == "0" and "." in t) == sorted(
        ["0.1", "0.2", "0.3", "0.4", "0.6", "0.71", "0.72", "0.73"]
    )  # 0.5, the blank out of (2, 0), leads nowhere
    assert {"0,0", "2,1", "end"} <= set(texts)
    assert len(axes.patches) == 6
    assert [label.get_text() for label in axes.get_xticklabels()] == ["frame 0", "frame 1", "frame 2"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["nothing yet", "after yes"]


def test_blanks_go_right_and_labels_up_in_their_own_colours():
    axes, _ = drawn()
    arrows = [text for text in axes.texts if not text.get_text()]
    right = [a for a in arrows if a.xy[0] > a.xyann[0] and a.xy[1] == a.xyann[1]]
    up = [a for a in arrows if a.xy[1] > a.xyann[1] and a.xy[0] == a.xyann[0]]
    assert (len(right), len(up), len(arrows)) == (5, 3, 8)
    colours = {matplotlib.colors.to_hex(a.arrow_patch.get_edgecolor()).upper() for a in up}
    assert colours == {palette("pair")[1]}


def test_numbers_in_nodes_and_digits():
    _, texts = drawn(nodes=np.full((3, 2), 0.12345), digits=4)
    assert texts.count("0.1235") + texts.count("0.1234") == 6
    _, texts = drawn(nodes=np.ones((3, 2)))
    assert texts.count("1") == 6  # no zeros at the end


def test_shares_are_widths():
    axes, _ = drawn(shares=True)
    widths = [text.arrow_patch.get_linewidth() for text in axes.texts if not text.get_text()]
    assert min(widths) == pytest.approx(0.6 + 4.4 * 0.1)
    assert max(widths) == pytest.approx(0.6 + 4.4 * 0.73)


@pytest.mark.parametrize("change", [{"words": ["a", "b"]}, {"label": LABEL[:2]}, {"nodes": np.ones((2, 2))}])
def test_what_does_not_fit_is_refused(change):
    arguments = {"blank": BLANK, "label": LABEL, "words": ["yes"]} | change
    with pytest.raises(ReportError, match=r"draw_lattice: blank \(3, 2\).*expected equal shapes"):
        # without the shape checks that tests switch on, as in a notebook
        inspect.unwrap(draw_lattice)(Figure().subplots(), **arguments)
