"""The overview: marks by verdict and owner, closeness, cost, the strip of effects, its size."""

import pytest
from bs4 import BeautifulSoup

from echobook.report.marks import EDGE
from echobook.report.overview import Paper, papers_table, strip, strip_frame, strip_text
from echobook.report.verdict_box import GRADES


def address(slug):
    return f"../notebooks/{slug}.html"


@pytest.fixture
def two(board_of, finding, outcome):
    hit, miss = outcome(0.05, 0.03, 0.07, paper_effect=0.04), outcome(0.0, -0.01, 0.01)
    first = board_of(finding("C1", hit), finding("C2", miss, origin="ours"), slug="first")
    wide = outcome(0.02, -0.02, 0.06, words="wide & new", paper_effect=0.04)
    return [
        first,
        board_of(finding("C1", wide, outcome(-0.05, -0.06, -0.04, paper_effect=0.04)), slug="second"),
    ]


def test_a_row_has_marks_closeness_cost_and_the_surprise(two):
    table = papers_table([Paper("A < B", "ICASSP", two[0])], address)
    page = BeautifulSoup(table, "html.parser")
    marks = page.table.find_all("a", class_="echobook-verdict")
    assert [(mark.get_text(), mark["href"], mark["class"][1]) for mark in marks] == [
        ("✓ C1", "../notebooks/first.html#c1", "verdict-reproduced"),
        ("✗ C2", "../notebooks/first.html#c2", "verdict-not"),
    ]
    assert marks[0]["title"] == "C1, reproduced: Statement C1."
    head, findings, close, cost = page.find("tbody").find_all(["th", "td"])
    assert head.a.get_text() == "A < B"
    assert head.find(class_="overview-surprise").get_text().startswith("A question of ours: gain")
    assert [part.get_text() for part in findings.find_all("p")] == [
        "the paper's ✓ C11 reproduced",
        "ours ✗ C21 not reproduced",
    ]
    assert [item.get_text() for item in close.find_all("li")] == [
        "● data same", "◐ model smaller", "◇ training stand-in", "● evaluation same", "? details inferred",
    ]  # fmt: skip
    assert cost.get_text() == "0.02 CPU-min a seed, 3 seeds"


def test_the_legend_has_words_for_every_sign(two):
    page = BeautifulSoup(papers_table([Paper("A", "B", one) for one in two], address), "html.parser")
    verdicts, grades = page.find_all("ul", class_="forest-legend")
    assert verdicts.get_text() == "✓ reproduced✗ not reproduced? undecided"
    assert [item.get_text() for item in grades.find_all("li")] == [
        f"{sign} {name}" for name, sign in GRADES.items()
    ]


def test_the_strip_is_sorted_and_says_what_it_shows(two):
    frame = strip_frame(two)
    assert list(frame["effect_ratio"].round(6)) == [1.25, 0.5, -1.25]
    assert strip_text(frame) == (
        "3 tests by our effect in multiples of the paper's: 1 as large or larger, 1 smaller, "
        "1 none or opposite."
    )
    page = BeautifulSoup(strip(two, address), "html.parser")
    rows = page.find_all("tr", class_="test")
    assert [row.th.get_text() for row in rows] == [
        "first C1 gain over the old way", "second C1 wide & new", "second C1 gain over the old way",
    ]  # fmt: skip
    assert rows[1].a["href"] == "../notebooks/second.html#c1"
    assert [row.find(class_="figures").get_text() for row in rows] == [
        "1.2 [0.75, 1.8]", "0.50 [−0.50, 1.5]", "−1.2 [−1.5, −1.0]",
    ]  # fmt: skip
    assert rows[1].svg["aria-label"] == "undecided: 0.50 [−0.50, 1.5] times the paper's effect"
    assert page.figure["aria-label"] == strip_text(frame)


def test_places_of_the_strip(two):
    """The span is -1.5 to 2: from the lower end of the last interval to the least that is shown."""
    rows = BeautifulSoup(strip(two, address), "html.parser").find_all("tr", class_="test")
    whole = 100 - 2 * EDGE
    lines = [line["x1"] for line in rows[0].find_all("line")]
    assert lines[:2] == [f"{round(EDGE + 1.5 / 3.5 * whole, 2)}%", f"{round(EDGE + 2.5 / 3.5 * whole, 2)}%"]
    assert rows[0].find_all("svg")[-1]["x"] == f"{round(EDGE + 2.75 / 3.5 * whole, 2)}%"


def test_nothing_to_show(board_of, finding, outcome):
    one = board_of(finding("C1", outcome(0.05, 0.03, 0.07)))
    page = BeautifulSoup(strip([one], address), "html.parser")
    assert page.figure["aria-label"] == "No test has the paper's effect beside it yet."
    assert page.find_all("tr", class_="test") == []
    unrecorded = board_of(finding("C1", reason="no data"), runs=0)
    assert "not yet recorded" in papers_table([Paper("A", "B", unrecorded)], address)


def test_twenty_one_papers_fit_the_page(board_of, finding, outcome):
    """The bar is 300 KB for the whole page; the theme's frame takes 25 of them."""
    long = "change of the word error rate from one system to another on unseen speakers"
    tests = [outcome(0.05, 0.03, 0.07, words=long, paper_effect=effect) for effect in (0.04, None)]
    boards = [
        board_of(*[finding(f"C{k}", *tests) for k in range(1, 8)], slug=f"chapter-{n}") for n in range(21)
    ]
    papers = [Paper("A title of usual length: and what it does", "ICASSP 2022", one) for one in boards]
    size = len((papers_table(papers, address) + strip(boards, address)).encode())
    assert size < 275_000
