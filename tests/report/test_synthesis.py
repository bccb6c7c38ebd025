"""The synthesis: groups, effects in multiples of the papers', controls, cost, what is open."""

import math

import numpy as np
import pytest
from bs4 import BeautifulSoup

from echobook.report.claims_tests import CONTROLS
from echobook.report.synthesis import (
    GROUPS,
    Entry,
    controls_frame,
    cost_frame,
    effects_frame,
    open_frame,
    verdicts_frame,
)
from echobook.report.synthesis_tables import (
    controls_table,
    cost_table,
    effects_table,
    open_table,
    verdicts_tables,
)


@pytest.fixture
def entries(board_of, finding, outcome):
    """Three papers: reproduced and ours failed; undecided and smaller; not testable."""
    good = outcome(0.05, 0.03, 0.07, paper_effect=0.04, control="no training")
    miss = outcome(0.0, -0.01, 0.01, control="shuffled labels")
    open_ = outcome(0.02, -0.02, 0.06, paper_effect=0.04, words="gain that is open")
    wrong = outcome(-0.05, -0.06, -0.04, paper_effect=0.04, control="shuffled labels")
    ours = finding("C2", miss, origin="ours")
    return [
        Entry("Speech", "ICASSP 2022", board_of(finding("C1", good), ours, slug="a")),
        Entry("Speech", "AAAI 2020", board_of(finding("C1", open_), finding("C2", wrong), slug="b")),
        Entry("Reading", "a workshop", board_of(finding("C1", reason="no system"), slug="c", runs=0)),
    ]  # fmt: skip


def counts(frame, by):
    names = ["papers", "findings", "reproduced", "not reproduced", "undecided", "not testable here"]
    return {row[by]: tuple(row[name] for name in names) for _, row in frame.iterrows()}


def test_findings_of_papers_are_counted_by_part_and_year(entries):
    frame = verdicts_frame(entries, "part of the book")
    assert counts(frame, "part of the book") == {"Speech": (2, 3, 1, 1, 1, 0), "Reading": (1, 1, 0, 0, 0, 1)}
    assert frame["decided"].tolist() == [pytest.approx(2 / 3), 0.0]
    assert list(verdicts_frame(entries, "year")["year"]) == ["2020", "2022", "no year"]


@pytest.mark.parametrize("by", GROUPS)
def test_every_grouping_counts_every_finding_of_a_paper_once(entries, by):
    frame = verdicts_frame(entries, by)
    assert frame["papers"].sum() == len(entries)
    assert frame["findings"].sum() == sum(len(entry.board.of_paper) for entry in entries) == 4


def test_the_kind_of_data_follows_grade_and_source(entries, make):
    one = entries[0]
    assert one.kind_of_data == "the paper's own"
    claims = one.board.claims
    other = claims.fidelity.data.model_copy(update={"grade": "stand-in"})
    claims = claims.model_copy(update={"fidelity": claims.fidelity.model_copy(update={"data": other})})
    board = one.board.__class__(claims, one.board.recorded, [], [])
    assert Entry("x", "y", board).kind_of_data == "a public stand-in"
    sets = [
        {"name": "g", "version": "1", "sha256": "0" * 64, "licence": "MIT", "rows": {}, "source": source}
        for source in ("echobook.data.generators.x", "https://example.org")
    ]
    run = make()
    made = [type(run).model_validate(run.model_dump() | {"datasets": sets[:count]}) for count in (1, 2)]
    kinds = [Entry("x", "y", board.__class__(claims, [run], [], [])).kind_of_data for run in made]
    assert kinds == ["generated", "a public stand-in"]


def test_closeness_counts_the_sides_that_are_the_papers_own(entries):
    assert {entry.closeness for entry in entries} == {"2 or 3 of 5 sides the same"}  # data and evaluation


def test_effects_in_multiples_of_the_papers(entries):
    frame = effects_frame(entries).set_index("kind of data")
    every = frame.loc["all"]
    assert (every["papers"], every["tests"]) == (2, 3)
    assert every["median"] == pytest.approx(0.5)  # of 1.25, 0.5 and -1.25
    assert [every[name] for name in ("at least one", "smaller", "none or opposite")] == [1, 1, 1]
    assert math.isnan(every["low"])  # two papers are too few to draw from


def test_the_interval_of_the_median_draws_papers_not_tests(board_of, finding, outcome):
    """Within a paper all ratios agree, so that tests drawn one by one would give a far narrower interval."""
    papers = []
    for index, ratio in enumerate((0.0, 0.5, 1.0, 1.5, 2.0)):
        tests = [outcome(0.04 * ratio, 0.04 * ratio - 0.01, 0.04 * ratio + 0.01, paper_effect=0.04)] * 8
        papers.append(Entry("p", "2020", board_of(finding("C1", *tests), slug=f"p{index}")))
    every = effects_frame(papers).iloc[-1]
    assert (every["tests"], every["median"]) == (40, pytest.approx(1.0))
    assert every["low"] == pytest.approx(0.0, abs=0.26)
    assert every["high"] == pytest.approx(2.0, abs=0.26)
    assert effects_frame(papers).equals(effects_frame(papers))


def test_controls_are_counted_by_kind_and_name_where_they_were_not_beaten(entries):
    frame = controls_frame(entries).set_index("control")
    assert list(frame.index) == [kind for kind in CONTROLS if kind in ("no training", "shuffled labels")]
    assert frame.loc["no training", ["tests", "holds", "fails"]].tolist() == [1, 1, 0]
    assert frame.loc["shuffled labels", ["tests", "holds", "fails"]].tolist() == [2, 0, 2]
    assert frame["chapters"].tolist() == ["none", "a, b"]


def test_cost_leaves_out_what_is_not_recorded(entries):
    frame = cost_frame(entries)
    assert frame["chapter"].tolist() == ["a", "b"]
    assert frame["CPU hours"].tolist() == pytest.approx([3 * 1.25 / 3600] * 2)
    assert frame["peak memory (MiB)"].tolist() == [100.0, 100.0]


def test_open_findings_say_what_they_would_take(entries):
    [row] = [row for _, row in open_frame(entries).iterrows()]
    assert (row["chapter"], row["finding"], row["seeds now"]) == ("b", "C1", 3)
    assert row["test"] == "gain that is open"
    assert row["seeds"] is None or np.isnan(row["seeds"]) or row["seeds"] >= 2
    assert row["why"]


def test_pages_have_a_sentence_and_captions(entries):
    def address(slug, anchor):
        return f"../{slug}.html#{anchor}"

    page = BeautifulSoup(
        verdicts_tables(entries) + effects_table(entries) + controls_table(entries) + cost_table(entries)
        + open_table(entries, address), "html.parser",
    )  # fmt: skip
    sentences = [one.get_text() for one in page.find_all("strong")]
    assert sentences[0] == "Of 4 findings of 3 papers, 2 are decided here, and 1 of those are reproduced."
    assert sentences[1].startswith(
        "Half of our effects are above 0.50 times the paper's, in 3 tests of 2 papers"
    )
    assert "1 hold, 2 fail and 0 are undecided" in sentences[2]
    assert sentences[4].startswith("1 finding of papers is undecided")
    assert len(page.find_all("caption")) == len(page.find_all("table")) == len(GROUPS) + 4
    assert page.find("a")["href"] == "../b.html#c1"


def test_nothing_recorded_gives_sentences_not_tables(board_of, finding):
    empty = [Entry("Reading", "2020", board_of(finding("C1", reason="no system"), slug="c", runs=0))]
    for text in (effects_table(empty), controls_table(empty), cost_table(empty)):
        assert "<table" not in text
    assert "No recorded finding is undecided" in open_table(empty, lambda slug, anchor: "")
