"""Marks of interval plots: places, spans, clipping, axis."""

import pytest
from bs4 import BeautifulSoup

from echobook.report.marks import (
    EDGE,
    KINDS,
    SHAPES,
    Span,
    axis,
    bar,
    sample,
    span_of,
    upright,
    whisker,
    zone,
)


def test_places_run_from_edge_to_edge():
    span = Span(-1.0, 3.0)
    assert [span.place(value) for value in (-1.0, 1.0, 3.0)] == [EDGE, 50.0, 100 - EDGE]
    assert [span.place(value) for value in (-9.0, 9.0)] == [EDGE, 100 - EDGE]
    assert [span.shows(value) for value in (-1.0, 3.0, 3.1)] == [True, True, False]


@pytest.mark.parametrize(
    ("values", "ends"),
    [([], (-1, 2)), ([0.0, 1.5], (-1, 2)), ([-2.0, 3.0], (-2, 3)), ([-20.0, 30.0], (-4, 6))],
)
def test_a_span_shows_all_within_its_limits(values, ends):
    found = span_of(values, least=Span(-1.0, 2.0), most=Span(-4.0, 6.0))
    assert (found.left, found.right) == ends


def test_ground_reaches_the_edge_where_it_has_no_end():
    span = Span(-1.0, 3.0)
    rect = BeautifulSoup(zone(span, 1.0, float("inf")), "html.parser").rect
    assert (rect["x"], rect["width"]) == ("50.0%", "50.0%")
    rect = BeautifulSoup(zone(span, -9.0, 1.0), "html.parser").rect
    assert (rect["x"], rect["width"]) == ("0.0%", "50.0%")
    assert zone(span, 2.0, 1.0) == ""


def test_an_interval_has_ends_where_it_ends():
    parts = BeautifulSoup(whisker(Span(-1.0, 3.0), 0.0, 9.0), "html.parser")
    assert [parts.line["x1"], parts.line["x2"]] == ["26.25%", f"{100 - EDGE}%"]
    assert [path["d"] for path in parts.find_all("path")] == ["M0-4V4", "M-5-4 0 0 -5 4"]


def test_words_and_numbers_of_an_axis():
    shown = axis(Span(-1.0, 1.0), [-1.0, 0.0, 0.5, 2.0], [(0.0, "end", "a < b"), (5.0, "start", "far")])
    words = BeautifulSoup(shown, "html.parser").find_all("text")
    assert [word.get_text() for word in words] == ["a < b", "−1", "0", "0.5"]
    assert "text-anchor: end" in words[0]["style"]
    assert words[0]["y"] != words[1]["y"]


def test_a_bar_has_a_text_in_its_place():
    one = BeautifulSoup(
        bar([upright("least", 5.0), upright("bound", 9.0)], 'a "b" < c', "good"), "html.parser"
    ).svg
    assert (one["aria-label"], one["role"], one["class"]) == ('a "b" < c', "img", ["bar", "good"])
    assert [line.has_attr("stroke-dasharray") for line in one.find_all("line")] == [True, False]


def test_every_decision_has_a_shape():
    assert set(KINDS) | {"paper"} == set(SHAPES)
    assert len(set(SHAPES.values())) == len(SHAPES)
    assert all('aria-hidden="true"' in sample(name) for name in SHAPES)
