"""The scoreboard: boards, totals and the short form."""

import pytest

from echobook.report.claims import Printed
from echobook.report.errors import ReportError
from echobook.report.results import write_results
from echobook.report.scoreboard import (
    Totals,
    by_verdict,
    counted_text,
    plain_scoreboard,
    printed_text,
    scoreboard,
    totals,
    totals_text,
)
from echobook.report.verdicts import VERDICTS


def recorded(root, make, head, seeds=3):
    for seed in range(seeds):
        values = {"score/new": 0.6 + seed / 100, "score/old": 0.5}
        folder = root / "data" / "recorded" / "public" / "small-talk"
        write_results(make(values, seed=seed, commit=head), folder / f"seed-{seed}.json")


def test_a_board_before_any_run(checkout):
    [one] = scoreboard(checkout)
    assert (one.slug, one.recorded, one.minutes) == ("small-talk", [], None)
    assert [outcome.verdict for outcome in one.findings] == ["not yet recorded", "not testable here"]
    assert [check.passed for check in one.checks] == [None]


def test_a_board_of_recorded_runs(checkout, make, head):
    recorded(checkout, make, head)
    [one] = scoreboard(checkout)
    assert [outcome.verdict for outcome in one.findings] == ["reproduced", "not testable here"]
    assert [check.passed for check in one.checks] == [True]
    assert one.minutes == pytest.approx(1.25 / 60)


def test_a_build_never_gives_a_verdict(checkout, make):
    folder = checkout / "_build" / "default" / "results" / "small-talk"
    write_results(make({"score/new": 0.7, "score/old": 0.5}, profile="default"), folder / "seed-0.json")
    assert scoreboard(checkout)[0].findings[0].verdict == "not yet recorded"


def test_totals_and_short_form(checkout, make, head):
    recorded(checkout, make, head)
    assert plain_scoreboard(scoreboard(checkout)).split("\n") == [
        "small-talk  C1 ✓ C2 – | checks: 1 of 1",
        "✓ reproduced, – not testable here",
        "2 findings of papers: 1 reproduced, 1 not testable here; 1 check passed of 1",
    ]
    assert plain_scoreboard([]) == "0 findings of papers: none"


def test_short_form_keeps_papers_and_ours_apart_and_each_chapter_on_its_line(board_of, finding, outcome):
    hit, miss, unclear = outcome(0.05, 0.03, 0.07), outcome(0.0, -0.01, 0.01), outcome(0.01, -0.01, 0.03)
    long = board_of(finding("C1", hit), finding("C2", miss, origin="ours"), slug="a-long-name")
    short = board_of(finding("C1", hit, miss, origin="derived"), finding("C2", unclear), slug="b")
    assert plain_scoreboard([long, short]).split("\n") == [
        "a-long-name  C1 ✓ | ours: C2 ✗",
        "b            C1 ◐ C2 ?",
        "✓ reproduced, ◐ partly reproduced, ✗ not reproduced, ? undecided",
        "3 findings of papers: 1 reproduced, 1 partly reproduced, 1 undecided; 1 of ours: 1 not reproduced",
    ]


def test_every_finding_is_counted_once_under_its_verdict_and_owner(board_of, finding, outcome):
    hit, miss = outcome(0.05, 0.03, 0.07), outcome(0.0, -0.01, 0.01)
    boards = [
        board_of(
            finding("C1", hit), finding("C2", hit, origin="derived"), finding("C3", miss, origin="ours")
        ),
        board_of(finding("C1", miss), finding("C2", reason="no data")),
    ]
    found = totals(boards)
    assert {verdict: count for verdict, count in found.papers.items() if count} == {
        "reproduced": 2,
        "not reproduced": 1,
        "not testable here": 1,
    }
    assert sum(found.ours.values()) == found.ours["not reproduced"] == 1
    assert list(found.papers) == list(by_verdict([])) == list(VERDICTS)


@pytest.mark.parametrize(
    ("papers", "ours", "passed", "checks", "text"),
    [
        (1, 0, 0, 0, "1 finding of the paper: 1 reproduced"),
        (2, 1, 0, 0, "2 findings of the paper: 2 reproduced; 1 of ours: 1 reproduced"),
        (0, 0, 1, 2, "0 findings of the paper: none; 1 check passed of 2"),
    ],
)
def test_totals_in_words(papers, ours, passed, checks, text):
    found = Totals({"reproduced": papers, "undecided": 0}, {"reproduced": ours}, passed, checks)
    assert totals_text(found, whose="the paper") == text
    assert counted_text({"undecided": 0}) == "none"


def test_a_failed_check_is_named(checkout, make, head):
    folder = checkout / "data" / "recorded" / "public" / "small-talk"
    for seed in range(2):
        write_results(
            make({"score/new": 2.6, "score/old": 2.5}, seed=seed, commit=head), folder / f"seed-{seed}.json"
        )
    assert "| checks: 0 of 1 K1 ✗" in plain_scoreboard(scoreboard(checkout))
    assert totals(scoreboard(checkout)).passed == 0


@pytest.mark.parametrize(
    ("provenance", "text"),
    [("read", "2 points"), ("derived", "2 points (derived)"), ("recalled", "2 points (recalled)")],
)
def test_a_figure_not_read_in_the_paper_says_so(provenance, text):
    printed = Printed(value=2.0, unit="points", text="2 points", source="s", provenance=provenance)
    assert printed_text(printed) == text


def test_chapters_come_in_the_order_of_their_names_or_as_asked(checkout, claims_text):
    folder = checkout / "data" / "claims"
    for slug in ("zebra", "big-talk"):
        text = claims_text.replace("slug: small-talk", f"slug: {slug}")
        (folder / f"{slug}.yml").write_text(text, encoding="utf-8")
    assert [found.slug for found in scoreboard(checkout)] == ["big-talk", "small-talk", "zebra"]
    assert [found.slug for found in scoreboard(checkout, slugs=["zebra", "big-talk"])] == [
        "zebra",
        "big-talk",
    ]
    assert scoreboard(checkout, slugs=[]) == []


def test_unknown_chapter_is_refused(checkout):
    with pytest.raises(ReportError, match=r"big-talk\.yml: no such file"):
        scoreboard(checkout, slugs=["big-talk"])
