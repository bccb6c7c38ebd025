"""The scoreboard: rows, totals and the short form."""

import pytest

from echobook.report.errors import ReportError
from echobook.report.results import write_results
from echobook.report.scoreboard import built_results, plain_scoreboard, scoreboard, totals


def recorded(root, make, head, seeds=3):
    for seed in range(seeds):
        values = {"score/new": 0.6 + seed / 100, "score/old": 0.5}
        folder = root / "data" / "recorded" / "public" / "small-talk"
        write_results(make(values, seed=seed, commit=head), folder / f"seed-{seed}.json")


def built(root, results):
    folder = root / "_build" / results.profile / "results" / "small-talk"
    write_results(results, folder / f"seed-{results.seed}.json")


def test_rows_before_any_run(checkout):
    first, second = scoreboard(checkout)
    assert (first.slug, first.claim, first.verdict, first.anchor) == (
        "small-talk",
        "C1",
        "not yet recorded",
        "small-talk-c1",
    )
    assert (first.printed, first.recorded, first.seeds, first.build) == ("2.0 points", "", 0, "")
    assert (second.printed, second.verdict) == ("no figure (recalled)", "not testable here")


def test_rows_with_record_and_build(checkout, make, head):
    recorded(checkout, make, head)
    built(checkout, make({"score/new": 0.7, "score/old": 0.5}, profile="default"))
    first, _ = scoreboard(checkout)
    assert first.recorded == "gain: 0.110 points [0.085, 0.135], 3 seeds"
    assert first.build == "gain: 0.200 points, 1 seed"
    assert (first.seeds, first.verdict) == (3, "reproduced")


def test_smoke_build_never_gives_a_verdict(checkout, make):
    built(checkout, make({"score/new": 0.7, "score/old": 0.5}, profile="smoke"))
    first, _ = scoreboard(checkout, profile="smoke")
    assert (first.verdict, first.recorded) == ("not yet recorded", "")


def test_leftovers_of_other_runs_are_passed_over(checkout, make):
    for seed, size in ((0, 3), (1, 3), (2, 9)):
        built(checkout, make(seed=seed, profile="default", parameters={"size": size}))
    assert [run.seed for run in built_results(checkout, "small-talk", "default")] == [0, 1]


def test_a_build_without_the_metrics_shows_none(checkout, make):
    built(checkout, make({"score/new": 0.7}, profile="default"))
    assert scoreboard(checkout)[0].build == ""


def test_totals_and_short_form(checkout, make, head):
    recorded(checkout, make, head)
    rows = scoreboard(checkout, slugs=["small-talk"])
    assert totals(rows) == {
        "reproduced": 1,
        "partly reproduced": 0,
        "not reproduced": 0,
        "not testable here": 1,
        "not yet recorded": 0,
    }
    assert plain_scoreboard(rows) == "small-talk  C1 ✓ C2 –\n2 claims: 1 reproduced, 1 not testable here"
    assert plain_scoreboard([]) == "0 claims: none"


def test_unknown_chapter_is_refused(checkout):
    with pytest.raises(ReportError, match=r"big-talk\.yml: no such file"):
        scoreboard(checkout, slugs=["big-talk"])
