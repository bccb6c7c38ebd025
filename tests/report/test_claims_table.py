"""The table of findings and checks on a chapter's page."""

import pytest
from bs4 import BeautifulSoup

from echobook.report.claims import load_claims, parse_claims
from echobook.report.claims_table import claims_frame, finding_lines, stacked

OURS, NOW = "recorded [interval]", "this run"


def columns(frame):
    return {name: list(frame[name]) for name in frame.columns if name != "claim"}


def test_before_any_record(checkout):
    frame = claims_frame(load_claims(checkout, "small-talk"), [], [])
    assert list(frame["claim"]) == [
        '<a href="#small-talk-c1">C1</a> The new way beats the old one.',
        '<a href="#small-talk-c2">C2</a> It scales to &lt; 1 s.',
        '<a href="#small-talk-k1">K1</a> No score is above 1.',
    ]
    cells = columns(frame)
    badges = [BeautifulSoup(cell, "html.parser").span for cell in cells.pop("verdict")]
    assert [badge["class"][1] for badge in badges] == [
        "verdict-pending",
        "verdict-untestable",
        "check-pending",
    ]
    words = ["… not yet recorded", "– not testable here", "… not yet recorded"]
    assert [badge.get_text() for badge in badges] == words
    assert cells == {
        "paper": ["2.0 points", "no figure (recalled)", "a check"],
        OURS: ["not yet recorded", "The live system is not public.", "not yet recorded"],
        NOW: ["–", "–", "–"],
    }


def test_the_record_stands_beside_this_run(checkout, make):
    claims = load_claims(checkout, "small-talk")
    old = [make({"score/new": 0.6 + seed / 100, "score/old": 0.5}, seed=seed) for seed in range(3)]
    shown = columns(
        claims_frame(claims, old, [make({"score/new": 0.1, "score/old": 0.5}, profile="default")])
    )
    assert shown[OURS] == [
        "● gain over the old way: 0.110 [0.085, 0.135] points (3 seeds)",
        "The live system is not public.",
        "old: 0.500 points (≤ 1)",
    ]
    assert shown[NOW] == ["−0.400 points", "–", "old: 0.500 points (≤ 1)"]
    assert ["verdict-reproduced" in cell for cell in shown["verdict"]] == [True, False, False]
    assert "check-passed" in shown["verdict"][2]


def test_text_of_the_claims_cannot_break_the_table(claims_text):
    text = claims_text.replace("2.0 points", "< 2 & more").replace("live system", "live <b>system</b>")
    shown = columns(claims_frame(parse_claims(text, "x.yml"), [], []))
    assert shown["paper"][0] == "&lt; 2 &amp; more"
    assert shown[OURS][1] == "The live &lt;b&gt;system&lt;/b&gt; is not public."


@pytest.mark.parametrize("timed", ["score/new", "score/old"])
def test_a_figure_with_any_measured_time_in_it_is_marked_as_changing(checkout, make, timed):
    claims = load_claims(checkout, "small-talk")
    values = {"score/new": 0.6, "score/old": 0.5, "other": 1.0}
    mark = '<data class="echobook-volatile" value="">0.100 points</data>'
    assert columns(claims_frame(claims, [], [make(values, timing=(timed,))]))[NOW][:2] == [mark, "–"]
    plain = columns(claims_frame(claims, [], [make(values, timing=("other",))]))
    assert plain[NOW][:2] == ["0.100 points", "–"]


def test_several_tests_stand_one_under_the_other_with_their_words(make, claims_text):
    more = """  - {name: new-alone, words: "new; alone", metric: score/new, comparison: value, unit: points,
     direction: above, bound: 0, smallest_effect: 0, resampling: {unit: seeds}}
- id: C2"""
    claims = parse_claims(claims_text.replace("- id: C2", more), "x.yml")
    cell = columns(claims_frame(claims, [], [make()]))[NOW][0]
    lines = [line.get_text() for line in BeautifulSoup(cell, "html.parser").find_all(class_="figure-line")]
    assert lines == ["gain over the old way: 0.100 points", "new; alone: 0.600 points"]
    assert columns(claims_frame(claims, [], [make({"score/new": 0.6})]))[NOW][0] == "–"


def test_shapes_and_seeds_of_lines(finding, outcome):
    tests = [outcome(0.05, 0.03, 0.07), outcome(0.01, 0.005, 0.015), outcome(0.0, -0.01, 0.01), outcome(0.0)]
    lines = finding_lines(finding("C1", *tests))
    assert [line[0] for line in lines] == ["●", "◐", "✗", "○"]
    assert ["seeds" in line for line in lines] == [False, False, False, True]
    assert finding_lines(finding("C2", reason="no data")) == []


def test_a_question_of_ours_says_so(claims_text):
    text = claims_text.replace("origin: paper", "origin: ours", 1)
    shown = list(claims_frame(parse_claims(text, "x.yml"), [], [])["claim"])
    assert [("our question" in cell) for cell in shown] == [True, False, False]


def test_lines():
    assert stacked(["a"]) == "a"
    assert stacked(["a", "b"]).count('<span class="figure-line">') == 2
