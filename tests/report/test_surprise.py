"""The biggest surprise: which rule speaks, whose tests come first, and what the sentence says."""

import pytest

from echobook.report.surprise import log_ratio, opposite, shortfall, surprise

from .conftest import outcome as made


def test_the_opposite_comes_first(board_of, finding, outcome):
    far = outcome(-0.05, -0.06, -0.04, words="the far one", paper_effect=0.04)
    near = outcome(-0.05, -0.09, -0.01, words="the near one")
    tiny = outcome(0.005, 0.004, 0.006, words="the tiny one", paper_effect=0.4)
    said = surprise(board_of(finding("C1", tiny, near), finding("C2", far)))
    assert said == "The far one: −0.050 [−0.060, −0.040] points, the opposite of the claim (the paper: 0.04)."


def test_then_the_size_beside_the_papers(board_of, finding, outcome):
    tiny = outcome(0.005, 0.004, 0.006, words="the tiny one", paper_effect=0.4)
    large = outcome(0.1, 0.09, 0.11, words="the large one", paper_effect=0.04)
    said = surprise(board_of(finding("C1", large, tiny)))
    assert said == "The tiny one: 0.005 [0.004, 0.006] points, 0.01 times the paper's effect."
    assert surprise(board_of(finding("C1", large))).endswith("2.5 times the paper's effect.")


def test_then_what_falls_short(board_of, finding, outcome):
    one = outcome(0.0, -0.01, 0.01)
    said = surprise(board_of(finding("C1", one)))
    assert said == "Gain over the old way: 0 [−0.010, 0.010] points, where 0.02 would matter."


def test_questions_of_ours_speak_only_where_the_papers_do_not(board_of, finding, outcome):
    hit, miss = outcome(0.05, 0.03, 0.07), outcome(-0.05, -0.06, -0.04)
    ours = finding("C2", miss, origin="ours")
    said = surprise(board_of(finding("C1", hit), ours))
    assert said.startswith("A question of ours: gain over the old way: −0.050")
    assert surprise(board_of(finding("C1", outcome(0.0, -0.01, 0.01)), ours)).startswith("Gain over")


def test_no_surprise_says_how_much_is_decided(board_of, finding, outcome):
    hit, unclear = outcome(0.05, 0.03, 0.07), outcome(0.01, -0.01, 0.03)
    assert surprise(board_of(finding("C1", hit, unclear))) == "No surprise in what is decided (1 of 2 tests)."
    assert surprise(board_of(finding("C1", unclear))) == "Nothing is decided yet."
    assert surprise(board_of(finding("C1", reason="no data"))) == "Nothing is decided yet."
    assert surprise(board_of(finding("C1", hit), runs=0)) == "Not yet recorded."


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"estimate": -0.05, "low": -0.06, "high": -0.04}, 4.0),
        ({"estimate": -0.05, "low": -0.05, "high": -0.05}, float("inf")),
        ({"estimate": 0.0, "low": -0.01, "high": 0.01}, 0.0),  # short of what matters, not the opposite
        ({"estimate": -0.05}, 0.0),
        ({"estimate": 5.0, "low": 4.0, "high": 6.0, "comparison": "ratio", "direction": "below", "bound": 1.0,
          "smallest_effect": 0.9}, 3.0),
        ({"estimate": 0.5, "low": 0.4, "high": 0.6, "comparison": "value", "against": None, "bound": 0.8,
          "smallest_effect": 0.9}, 0.0),
    ],
)  # fmt: skip
def test_how_opposite(fields, size):
    assert opposite(made(**fields)) == pytest.approx(size)


def test_sizes_of_the_other_rules():
    assert log_ratio(made(0.04, 0.03, 0.05, paper_effect=0.05)) == 0  # within a factor of two
    assert log_ratio(made(0.01, -0.01, 0.03, paper_effect=1.0)) == 0  # undecided
    assert log_ratio(made(0.1, 0.09, 0.11, paper_effect=0.05)) == pytest.approx(0.6931472)
    assert shortfall(made(0.0, -0.01, 0.01)) == pytest.approx(2.0)
    assert shortfall(made(0.05, 0.03, 0.07)) == 0
