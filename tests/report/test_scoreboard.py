"""The scoreboard: rows, totals and the short form."""

import pytest
from bs4 import BeautifulSoup

from echobook.report.claims import Printed, load_claims, parse_claims
from echobook.report.errors import ReportError, ResultsError
from echobook.report.results import write_results
from echobook.report.scoreboard import (
    Row,
    built_results,
    claims_frame,
    plain_scoreboard,
    printed_text,
    scoreboard,
    this_run,
    totals,
)
from echobook.report.verdicts import VERDICTS


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
    assert first.recorded == "gain over the old way: 0.110 points [0.085, 0.135], 3 seeds"
    assert first.build == "gain over the old way: 0.200 points, 1 seed"
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
        "undecided": 0,
        "not testable here": 1,
        "not yet recorded": 0,
    }
    assert plain_scoreboard(rows) == "small-talk  C1 ✓ C2 –\n2 claims: 1 reproduced, 1 not testable here"
    assert plain_scoreboard([]) == "0 claims: none"


def row(slug, claim, verdict):
    return Row(slug, claim, "s", "p", "", 0, "", verdict, "a")


def test_short_form_keeps_each_chapter_to_its_own_line():
    rows = [row("a-long-name", "C1", "reproduced"), row("b", "C1", "not reproduced")]
    rows += [row("b", "C2", "partly reproduced"), row("a-long-name", "C2", "not yet recorded")]
    assert plain_scoreboard(rows).split("\n") == [
        "a-long-name  C1 ✓ C2 …",
        "b            C1 ✗ C2 ◐",
        "4 claims: 1 reproduced, 1 partly reproduced, 1 not reproduced, 1 not yet recorded",
    ]


def test_every_claim_is_counted_once_under_its_verdict():
    rows = [row("a", f"C{k}", verdict) for k, verdict in enumerate(VERDICTS) for _ in range(k + 1)]
    assert totals(rows) == {verdict: k + 1 for k, verdict in enumerate(VERDICTS)}
    assert list(totals([])) == list(VERDICTS)


@pytest.mark.parametrize(
    ("provenance", "text"),
    [("read", "2 points"), ("derived", "2 points (derived)"), ("recalled", "2 points (recalled)")],
)
def test_a_figure_not_read_in_the_paper_says_so(provenance, text):
    printed = Printed(value=2.0, unit="points", text="2 points", source="s", provenance=provenance)
    assert printed_text(printed) == text


def columns(frame):
    return {name: list(frame[name]) for name in frame.columns if name != "claim"}


def test_table_of_claims_before_any_record(checkout, make):
    claims = load_claims(checkout, "small-talk")
    frame = claims_frame(claims, [], [])
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
    assert [badge.get_text() for badge in badges] == [
        "… not yet recorded",
        "– not testable here",
        "… not yet recorded",
    ]
    assert cells == {
        "paper": ["2.0 points", "no figure (recalled)", "a check"],
        "recorded (95 % interval)": [
            "not yet recorded",
            "The live system is not public.",
            "not yet recorded",
        ],
        "this run": ["–", "–", "–"],
    }


def test_table_of_claims_sets_the_record_beside_this_run(checkout, make):
    claims = load_claims(checkout, "small-talk")
    old = [make({"score/new": 0.6 + seed / 100, "score/old": 0.5}, seed=seed) for seed in range(3)]
    shown = columns(
        claims_frame(claims, old, [make({"score/new": 0.1, "score/old": 0.5}, profile="default")])
    )
    assert shown["recorded (95 % interval)"] == [
        "gain over the old way: 0.110 points [0.085, 0.135], 3 seeds",
        "The live system is not public.",
        "old: 0.500 points (&lt;= 1.000)",
    ]
    assert shown["this run"] == [
        "gain over the old way: −0.400 points, 1 seed",
        "–",
        "old: 0.500 points (&lt;= 1.000)",
    ]
    assert ["verdict-reproduced" in cell for cell in shown["verdict"]] == [True, False, False]
    assert "check-passed" in shown["verdict"][2]


def test_text_of_the_claims_cannot_break_the_table(checkout, make, claims_text):
    text = claims_text.replace("2.0 points", "< 2 & more").replace("live system", "live <b>system</b>")
    shown = columns(claims_frame(parse_claims(text, "x.yml"), [], []))
    assert shown["paper"][0] == "&lt; 2 &amp; more"
    assert shown["recorded (95 % interval)"][1] == "The live &lt;b&gt;system&lt;/b&gt; is not public."


@pytest.mark.parametrize("timed", ["score/new", "score/old"])
def test_a_figure_with_any_measured_time_in_it_is_marked_as_changing(checkout, make, timed):
    claims = load_claims(checkout, "small-talk")
    values = {"score/new": 0.6, "score/old": 0.5, "other": 1.0}
    mark = '<data class="echobook-volatile" value="">gain over the old way: 0.100 points, 1 seed</data>'
    assert columns(claims_frame(claims, [], [make(values, timing=(timed,))]))["this run"][:2] == [mark, "–"]
    plain = columns(claims_frame(claims, [], [make(values, timing=("other",))]))
    assert plain["this run"][:2] == ["gain over the old way: 0.100 points, 1 seed", "–"]


def test_figures_of_several_tests_stand_one_after_the_other(make, claims_text):
    more = """  - {name: new-alone, words: new alone, metric: score/new, comparison: value, unit: points,
     direction: above, bound: 0, smallest_effect: 0, resampling: {unit: seeds}}
- id: C2"""
    claims = parse_claims(claims_text.replace("- id: C2", more), "x.yml")
    both = "gain over the old way: 0.100 points, 1 seed; new alone: 0.600 points, 1 seed"
    assert this_run(claims, [make()]) == [both, ""]
    assert this_run(claims, [make({"score/new": 0.6})]) == ["", ""]
    assert this_run(claims, []) == ["", ""]


def test_builds_come_by_seed_and_other_files_are_passed_over(checkout, make):
    for seed in (10, 9, 2):
        built(checkout, make(seed=seed, profile="default"))
    folder = checkout / "_build" / "default" / "results" / "small-talk"
    (folder / "notes.json").write_text("{", encoding="utf-8")
    (folder / "seed-02.json").write_text("{", encoding="utf-8")
    assert [run.seed for run in built_results(checkout, "small-talk", "default")] == [2, 9, 10]
    assert built_results(checkout, "small-talk", "paper") == []


def test_a_half_written_build_is_named(checkout, make):
    built(checkout, make(profile="default"))
    path = checkout / "_build" / "default" / "results" / "small-talk" / "seed-0.json"
    path.write_text(path.read_text(encoding="utf-8")[:200], encoding="utf-8")
    with pytest.raises(ResultsError, match=r"seed-0\.json: not a results file"):
        scoreboard(checkout)


def test_a_build_never_gives_a_verdict_beside_a_record(checkout, make, head):
    recorded(checkout, make, head)
    built(checkout, make({"score/new": 0.1, "score/old": 0.5}, profile="default"))
    assert scoreboard(checkout)[0].verdict == "reproduced"
    assert scoreboard(checkout)[0].build == "gain over the old way: −0.400 points, 1 seed"


def test_chapters_come_in_the_order_of_their_names_or_as_asked(checkout, claims_text):
    folder = checkout / "data" / "claims"
    for slug in ("zebra", "big-talk"):
        text = claims_text.replace("slug: small-talk", f"slug: {slug}")
        (folder / f"{slug}.yml").write_text(text, encoding="utf-8")
    assert [found.slug for found in scoreboard(checkout)] == [
        slug for slug in ("big-talk", "small-talk", "zebra") for _ in range(2)
    ]
    assert [found.slug for found in scoreboard(checkout, slugs=["zebra", "big-talk"])][::2] == [
        "zebra",
        "big-talk",
    ]
    assert scoreboard(checkout, slugs=[]) == []


def test_unknown_chapter_is_refused(checkout):
    with pytest.raises(ReportError, match=r"big-talk\.yml: no such file"):
        scoreboard(checkout, slugs=["big-talk"])
