"""The box that opens a chapter: verdicts, whose they are, closeness to the paper, checks and cost."""

import pytest
from bs4 import BeautifulSoup

from echobook.report.claims import parse_claims
from echobook.report.results import Cost
from echobook.report.scoreboard import Board, board
from echobook.report.verdict_box import cost_text, grade_marks, verdict_box
from echobook.report.verdicts import CheckOutcome
from echobook.sphinx.rows import minutes_text


def soup(one):
    return BeautifulSoup(verdict_box(one).markup, "html.parser")


def test_cost_is_the_mean_time_and_the_largest_memory(make):
    runs = [make(), make()]
    for run, seconds, memory in zip(runs, (1000.0, 3000.0), (2000.0, 1000.0), strict=True):
        run.cost = Cost(wall_seconds=1.0, cpu_seconds=seconds, peak_memory_mib=memory)
        run.parameter_counts = {"head": 1_000, "body": 234}
    assert cost_text(runs) == (
        "Cost of one recorded run: 2,000 CPU-s, 2,000 MiB of memory, 1,234 parameters."
    )
    runs[0].parameter_counts = {}
    assert cost_text(runs) == "Cost of one recorded run: 2,000 CPU-s, 2,000 MiB of memory."
    assert cost_text([]) == "Cost: not yet recorded."


def test_cost_counts_what_was_kept(make, claims_text):
    results = make()
    results.cost = Cost(wall_seconds=1.0, cpu_seconds=10.0, peak_memory_mib=50.0, kept_cpu_seconds=1990.0)
    assert "2,000 CPU-s, 50 MiB" in cost_text([results])
    claims = parse_claims(claims_text, "x.yml")
    assert minutes_text(board(claims, [results])) == "33.3"
    assert minutes_text(board(claims, [])) == "none yet"


@pytest.mark.parametrize(
    ("count", "said", "in_all"),
    [
        (0, "no recorded run yet", "1 not testable here, 1 not yet recorded; 0 checks passed of 1"),
        (1, "1 recorded public run", "1 undecided, 1 not testable here; 1 check passed of 1"),
        (2, "2 recorded public runs", "1 undecided, 1 not testable here; 1 check passed of 1"),
    ],
)
def test_box_says_how_many_runs_are_behind_it(make, claims_text, count, said, in_all):
    results = [make({"score/new": 0.6 + seed / 10, "score/old": 0.5}, seed=seed) for seed in range(count)]
    one = soup(board(parse_claims(claims_text, "x.yml"), results))
    assert one.p.get_text() == f"Verdicts ({said})"
    assert [(link["href"], link.get_text()) for link in one.find_all("a")] == [
        ("#small-talk-c1", "C1"),
        ("#small-talk-c2", "C2"),
        ("#small-talk-k1", "K1"),
    ]
    lines = [line.get_text() for line in one.find_all("li")]
    assert lines[1] == "– not testable here C2 It scales to < 1 s."
    assert lines[-1] == f"{'✓ passed' if count else '… not yet recorded'} K1 No score is above 1."
    assert (
        one.find_all("p")[-1].get_text() == f"In all 2 findings of the paper: {in_all}. {cost_text(results)}"
    )


def test_questions_of_ours_stand_apart(board_of, finding, outcome):
    hit, miss = outcome(0.05, 0.03, 0.07), outcome(0.0, -0.01, 0.01)
    one = soup(
        board_of(finding("C1", hit), finding("C2", miss, origin="ours"), finding("C3", hit, origin="derived"))
    )
    lists = [[line.a.get_text() for line in part.find_all("li")] for part in one.find_all("ul")[:2]]
    assert lists == [["C1", "C3"], ["C2"]]
    assert [part.get_text() for part in one.find_all("strong")] == ["Verdicts", "Questions of ours"]
    assert "2 findings of the paper: 2 reproduced; 1 of ours: 1 not reproduced. Cost" in one.get_text()


def test_closeness_is_in_the_open_and_its_reasons_are_folded(make, claims_text):
    claims = parse_claims(claims_text, "x.yml")
    assert grade_marks(claims.fidelity)[1:3] == [
        ("model", "◐", "smaller", "a tenth"),
        ("training", "◇", "stand-in", "least squares"),
    ]
    fold = soup(board(claims, [make()])).details
    assert fold.summary.get_text() == (
        "How close: data ● same, model ◐ smaller, training ◇ stand-in, evaluation ● same, details ? inferred"
    )
    assert [line.get_text() for line in fold.find_all("li")][-2:] == [
        "absent: a large model (baseline) – not public",
        "done: the new way",
    ]


def test_checks_are_folded_unless_one_failed(make, claims_text):
    one = board(parse_claims(claims_text, "x.yml"), [make()])
    assert not soup(one).find_all("details")[1].has_attr("open")
    failed = [CheckOutcome(check.check, False, check.tests) for check in one.checks]
    fold = soup(Board(one.claims, one.recorded, one.findings, failed)).find_all("details")[1]
    assert fold.has_attr("open")
    assert fold.summary.get_text() == "0 checks of our own code passed of 1"
    assert fold.li.get_text() == "✗ failed K1 No score is above 1."
