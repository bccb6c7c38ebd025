"""Tidy frames of the scoreboard: every figure in its column."""

import math

import pandas as pd

from echobook.report.claims import parse_claims
from echobook.report.frames import (
    CHECK_COLUMNS,
    FINDING_COLUMNS,
    checks_frame,
    findings_frame,
    ratio_interval,
)
from echobook.report.scoreboard import board


def test_one_row_a_test_with_all_its_figures(board_of, finding, outcome):
    one = outcome(0.03, 0.01, 0.05, paper_effect=0.04)
    frame = findings_frame([board_of(finding("C1", one, origin="derived"))])
    assert list(frame.columns) == FINDING_COLUMNS
    [row] = frame.to_dict("records")
    assert row == {
        "chapter": "small-talk", "paper": "someone2020small", "finding": "C1", "origin": "derived",
        "statement": "Statement C1.", "verdict": "reproduced", "printed": "more", "source": "s",
        "test": "gain", "words": "gain over the old way", "unit": "points",
        "estimate": 0.03, "low": 0.01, "high": 0.05,
        "level": 0.95, "decision": "holds", "direction": "above", "bound": 0.0, "smallest_effect": 0.02,
        "paper_effect": 0.04, "effect_ratio": 0.75, "ratio_low": 0.25, "ratio_high": 1.25, "seeds": 3,
    }  # fmt: skip


def test_a_finding_without_tests_has_one_row_without_figures(board_of, finding):
    [row] = findings_frame([board_of(finding("C2", reason="no data"))]).to_dict("records")
    assert (row["verdict"], row["finding"]) == ("not testable here", "C2")
    assert pd.isna(row["estimate"])


def test_a_negative_effect_keeps_the_lower_end_first(outcome):
    falls = {
        "comparison": "relative_change",
        "direction": "below",
        "smallest_effect": -0.1,
        "paper_effect": -0.2,
    }
    low, high = ratio_interval(outcome(-0.15, -0.3, 0.1, **falls))
    assert (round(low, 9), round(high, 9)) == (-0.5, 1.5)


def test_a_ratio_is_counted_from_one(outcome):
    ratio = {"comparison": "ratio", "bound": 1, "smallest_effect": 1.5, "paper_effect": 3}
    one = outcome(2.0, 1.0, 5.0, **ratio)
    assert (one.effect_ratio, ratio_interval(one)) == (0.5, (0.0, 2.0))


def test_without_the_papers_effect_or_an_interval_there_is_no_ratio(outcome):
    assert ratio_interval(outcome(0.03, 0.01, 0.05)) == (None, None)
    assert ratio_interval(outcome(0.03, paper_effect=0.04)) == (None, None)


def test_a_pair_of_bounds_is_written_out(board_of, finding, outcome):
    one = outcome(0.0, -0.01, 0.01, direction="within", bound=[-0.05, 0.05], smallest_effect=None)
    assert findings_frame([board_of(finding("C1", one))])["bound"][0] == "-0.05 to 0.05"


def test_checks(make, claims_text):
    claims = parse_claims(claims_text, "x.yml")
    frame = checks_frame([board(claims, [make({"score/new": 0.6, "score/old": 0.7}), make(seed=1)])])
    assert list(frame.columns) == CHECK_COLUMNS
    [row] = frame.to_dict("records")
    assert (row["check"], row["worst"], row["relation"], row["limit"]) == ("K1", 0.7, "<=", 1.0)
    assert (row["passed"], row["seeds"], row["unit"]) == (True, 2, "points")
    [empty] = checks_frame([board(claims, [])]).to_dict("records")
    assert math.isnan(empty["worst"])
    assert list(findings_frame([]).columns) == FINDING_COLUMNS
