"""The forest plot: places of rows on their own scales, shapes and words, alt text, many rows."""

import math
import re

import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.report.forest import forest_plot, row_of, rule_text, said, step_of, summary
from echobook.report.marks import EDGE

from .conftest import finding as made_finding
from .conftest import outcome as made


def places(**fields):
    row = row_of(made(**fields))
    shown = (row.estimate, row.low, row.high, row.paper, row.smallest)
    return [None if place is None else round(place, 9) for place in shown]


def test_bound_is_nought_and_what_matters_is_one(outcome):
    assert places(estimate=0.03, low=0.01, high=0.05, paper_effect=0.04) == [1.5, 0.5, 2.5, 2.0, 1.0]
    assert row_of(outcome(0.0)).zone == (0.0, math.inf)


def test_below_turns_the_row_round():
    below = {"direction": "below", "bound": 0.3, "smallest_effect": 0.2}
    assert places(estimate=0.1, low=0.05, high=0.25, **below) == [2.0, 0.5, 2.5, None, 1.0]


def test_a_ratio_starts_at_its_bound():
    ratio = {"comparison": "ratio", "bound": 1, "smallest_effect": 6.4, "paper_effect": 11.8}
    assert places(estimate=14.5, low=9.1, high=19.9, **ratio) == [2.5, 1.5, 3.5, 2.0, 1.0]


def test_no_worse_than_has_no_effect_at_one():
    margin = {"bound": -0.05, "smallest_effect": -0.05}
    assert places(estimate=-0.025, low=-0.1, high=0.05, **margin) == [0.5, -1.0, 2.0, None, None]


def test_without_any_distance_the_papers_effect_or_the_reach_is_two():
    bare = {"bound": 0, "smallest_effect": 0}
    assert places(estimate=0.1, low=0.05, high=0.2, paper_effect=0.4, **bare) == [0.5, 0.25, 1.0, 2.0, None]
    assert places(estimate=0.1, low=0.05, high=0.2, **bare) == [1.0, 0.5, 2.0, None, None]
    assert places(estimate=0.0, **bare) == [0.0, None, None, None, None]


def test_within_has_its_bounds_at_nought_and_two():
    pair = {"direction": "within", "bound": [-0.05, 0.05], "smallest_effect": None}
    assert places(estimate=0.0, low=-0.025, high=0.1, **pair) == [1.0, 0.5, 3.0, None, None]
    assert row_of(made(0.0, **pair)).zone == (0.0, 2.0)


number = st.floats(-10, 10).map(lambda value: round(value, 3))


@settings(max_examples=200, deadline=None)
@given(number, number, number, st.sampled_from([0.02, 0.5, 3.0]), st.sampled_from(["above", "below"]), number)
def test_places_tell_the_decision(estimate, first, second, size, direction, bound):
    low, high = min(estimate, first, second), max(estimate, first, second)
    sign = 1 if direction == "above" else -1
    one = made(estimate, low, high, direction=direction, bound=bound, smallest_effect=bound + sign * size)
    row = row_of(one)
    assert row.low is not None
    assert row.low <= row.estimate <= row.high
    close = min(abs(row.low), abs(row.high - 1)) < 1e-9  # rounding may fall on either side of a line
    words = {(1, 0): "holds", (1, 1): "holds, smaller", (0, 1): "fails", (0, 0): "undecided"}
    assert close or one.decision == words[int(row.low > 0), int(row.high < 1)]
    assert math.copysign(1, step_of(one)) == sign


def soup(*findings):
    return BeautifulSoup(forest_plot(findings, "talk").markup, "html.parser")


def test_a_row_says_in_words_what_it_shows(outcome, finding):
    one = outcome(0.03, 0.01, 0.05, paper_effect=0.04)
    text = (
        "holds: ours 0.030 [0.010, 0.050] points; holds above 0, matters from 0.02; the paper's effect 0.04"
    )
    assert said(one) == text
    page = soup(finding("C1", one))
    assert page.find("svg", role="img")["aria-label"] == text
    cells = page.find("tr", class_="test").find_all(["th", "td"])
    assert [cell.get_text() for cell in (cells[0], cells[2])] == [
        "gain over the old way",
        "holds 0.030 [0.010, 0.050] points paper 0.04; holds above 0, matters from 0.02",
    ]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "holds above 0, matters from 0.02"),
        ({"direction": "below", "bound": 0.3, "smallest_effect": 0.3}, "holds below 0.3"),
        (
            {"direction": "within", "bound": [-0.05, 0.05], "smallest_effect": None},
            "holds between −0.05 and 0.05",
        ),
    ],
)
def test_rules_in_words(fields, text):
    assert rule_text(made(0.0, **fields).test) == text


def test_findings_group_their_rows_and_say_whose_they_are(outcome, finding):
    hit, miss = outcome(0.05, 0.03, 0.07), outcome(0.0, -0.01, 0.01)
    page = soup(finding("C1", hit, miss), finding("C2", miss, origin="ours"), finding("C3", reason="a < b"))
    groups = page.find_all("tbody")
    assert [len(group.find_all("tr")) for group in groups] == [3, 2, 2]
    heads = [group.th.get_text() for group in groups]
    assert heads == [
        "◐ partly reproduced C1. Statement C1.",
        "✗ not reproduced C2. Statement C2. (our question)",
        "– not testable here C3. Statement C3.",
    ]
    assert groups[2].td.get_text() == "a < b"
    assert "Forest plot of 3 tests of 3 findings: 1 holds, 2 fails." in page.figure["aria-label"]


def test_each_decision_has_a_shape_and_words_of_its_own(outcome, finding):
    ways = [(0.05, 0.03, 0.07), (0.01, 0.005, 0.015), (0.0, -0.01, 0.01), (0.01, -0.01, 0.03)]
    rows = soup(finding("C1", *[outcome(*way) for way in ways])).find_all("tr", class_="test")
    shapes = [str(row.svg.find_all("svg")[-1].find_all()) for row in rows]
    assert len(set(shapes)) == 4
    assert [row.strong.get_text() for row in rows] == ["holds", "holds, smaller", "fails", "undecided"]
    assert [row.svg["class"][1] for row in rows] == ["good", "part", "bad", "none"]


def test_one_seed_has_a_mark_and_no_line(outcome, finding):
    row = soup(finding("C1", outcome(0.05))).find("tr", class_="test")
    assert row.find(class_="whisker") is None
    assert row.find(class_="dot") is not None


def test_what_is_beyond_the_edge_becomes_an_arrow(outcome, finding):
    page = soup(finding("C1", outcome(9.0, -5.0, 20.0)))
    paths = [mark["d"] for mark in page.find("tr", class_="test").select(".whisker path")]
    assert paths == ["M5-4 0 0 5 4", "M-5-4 0 0 -5 4"]
    assert page.find("tr", class_="test").find_all("svg")[-1]["x"] == f"{100 - EDGE}%"


@pytest.mark.parametrize("count", [1, 40])
def test_any_number_of_rows_with_long_words(count, outcome, finding):
    tests = [outcome(0.05, 0.03, 0.07, words="a very long name " * 8 + str(k)) for k in range(count)]
    markup = forest_plot([finding("C1", *tests)], "talk").markup
    assert markup.count('role="img"') == count
    assert len(markup) < 4_000 + 2_500 * count
    shares = [float(share) for share in re.findall(r' (?:x|x1|x2|width)="([\d.]+)%"', markup)]
    assert len(shares) > 10 * count
    assert all(0 <= share <= 100 for share in shares)
    assert markup == forest_plot([finding("C1", *tests)], "talk").markup


def test_nothing_recorded_is_said():
    empty = made_finding("C1", reason="no data")
    assert summary([empty]) == "Forest plot of 0 tests of 1 finding: nothing recorded yet."
    assert summary([]) == "Forest plot of 0 tests of 0 findings: nothing recorded yet."
    assert "no data" in soup(empty).get_text()
