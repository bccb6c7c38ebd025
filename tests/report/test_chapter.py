"""The Chapter API: what is recorded comes back from the file, what is wrong is refused by name."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from echobook.report.chapter import Chapter
from echobook.report.errors import ReportError
from echobook.report.results import metrics_digest, read_results, write_results

USE = SimpleNamespace(
    name="talk",
    version="1",
    sha256="c" * 64,
    licence="CC0-1.0 (generated)",
    rows={"train": 5},
    source="generator",
)


@pytest.fixture
def chapter(checkout):
    return Chapter(
        "small-talk", profile="smoke", seed=3, parameters={"rates": (0.5, 1.0), "size": np.int64(4)}
    )


def both(chapter):
    chapter.records("score/", {"new": 0.6, "old": 0.5}, unit="points", n=4)
    return chapter


def test_finish_writes_what_was_recorded(chapter, checkout, tmp_path, monkeypatch):
    target = tmp_path / "out" / "here.json"
    monkeypatch.setenv("ECHOBOOK_RESULT", str(target))
    chapter.use(USE)
    chapter.use(USE)
    assert chapter.count_parameters("head", torch.nn.Linear(3, 2)) == 8
    assert chapter.count_parameters("table", 100) == 100
    assert chapter.record("score/new", np.float32(0.5), unit="points", items=[True, False]) == 0.5
    chapter.record("score/old", torch.tensor(0.25), unit="points", n=4)
    stamp = chapter.finish()
    results = read_results(target, slug="small-talk", profile="smoke", seed=3)
    assert results.parameters == {"rates": [0.5, 1.0], "size": 4}
    assert results.metrics["score/new"].items == [1.0, 0.0]
    assert (results.metrics["score/new"].n, results.metrics["score/old"].n) == (2, 4)
    assert results.parameter_counts == {"head": 8, "table": 100}
    assert [(used.name, used.rows) for used in results.datasets] == [("talk", {"train": 5})]
    assert results.cost.cpu_seconds >= 0
    assert results.cost.peak_memory_mib > 10
    assert results.environment.threads == 1
    assert len(results.environment.commit) == 40
    assert not results.environment.dirty
    assert "small-talk, profile smoke, seed 3" in repr(stamp)
    assert str(checkout) not in target.read_text(encoding="utf-8")


def test_a_chapter_is_a_default_run_of_seed_zero_unless_said(checkout):
    results = Chapter("small-talk").results()
    assert (results.profile, results.seed, results.parameters, results.datasets) == ("default", 0, {}, [])


def test_scores_weights_groups_and_times_are_kept_as_given(chapter):
    scores = (score for score in np.array([0.123456789, 2.0]))
    value = chapter.record(
        "score/new", 0.5, unit="s", items=scores, weights=(1, 2.5), groups=np.array([7, 7]), timing=True
    )
    metric = chapter.results().metric("score/new")
    assert (value, metric.value, metric.unit, metric.n) == (0.5, 0.5, "s", 2)
    assert (metric.items, metric.weights, metric.groups) == ([0.123457, 2.0], [1.0, 2.5], [7, 7])
    assert metric.timing
    chapter.record("score/old", 1, unit="s")
    plain = chapter.results().metric("score/old")
    assert (plain.n, plain.items, plain.weights, plain.groups, plain.timing) == (
        None,
        None,
        None,
        None,
        False,
    )


def test_a_refused_figure_is_not_kept(chapter):
    with pytest.raises(ReportError):
        chapter.record("score/new", math.nan, unit="points")
    with pytest.raises(ReportError):
        chapter.record("score/old", 1.0, unit="points", n=0)
    assert chapter.results().metrics == {}
    chapter.record("score/new", 1.0, unit="points")
    assert chapter.results().value("score/new") == 1.0


def test_data_sets_are_listed_by_name(chapter):
    for name in ("words", "apples", "talk", "birds"):
        chapter.use(SimpleNamespace(**{**vars(USE), "name": name}))
    assert [used.name for used in chapter.results().datasets] == ["apples", "birds", "talk", "words"]


def test_frozen_weights_are_not_counted(chapter):
    module = torch.nn.Linear(3, 2)
    module.bias.requires_grad_(False)
    assert chapter.count_parameters("head", module) == 6


def test_without_a_runner_results_go_to_the_interactive_folder(chapter, checkout):
    both(chapter).finish()
    path = checkout / "_build" / "interactive" / "results" / "small-talk" / "seed-3.json"
    assert read_results(path).value("score/new") == 0.6


def test_two_runs_measure_the_same(checkout):
    digests = set()
    for _ in range(2):
        chapter = both(Chapter("small-talk", profile="smoke", seed=3))
        digests.add(metrics_digest(chapter.results()))
    assert len(digests) == 1


def test_changed_sources_make_a_run_dirty(checkout):
    claims = checkout / "data" / "claims" / "small-talk.yml"
    before = Chapter("small-talk").results().environment
    claims.write_text(claims.read_text(encoding="utf-8") + "\n# later\n", encoding="utf-8")
    after = Chapter("small-talk").results().environment
    assert (before.dirty, after.dirty) == (False, True)
    assert before.closure_sha256 != after.closure_sha256


def test_other_files_do_not_make_it_dirty(checkout):
    (checkout / "README.md").write_text("words", encoding="utf-8")
    assert not Chapter("small-talk").results().environment.dirty


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, torch.tensor(math.nan)])
def test_non_finite_values_are_refused(chapter, value):
    with pytest.raises(
        ReportError, match=r"metric 'score/new': expected a finite number, found .*small-talk, n=4"
    ):
        chapter.record("score/new", value, unit="points", n=4)


@pytest.mark.parametrize(
    "name", ["", "Score", "score/", "/score", "score//new", "score new", "score_new", "a--b"]
)
def test_ill_formed_names_are_refused(chapter, name):
    with pytest.raises(ReportError, match="expected lower-kebab segments joined by '/'"):
        chapter.record(name, 1.0, unit="points")


def test_other_refusals(chapter, checkout):
    chapter.record("score/new", 1.0, unit="points")
    with pytest.raises(ReportError, match="'score/new': recorded twice"):
        chapter.record("score/new", 1.0, unit="points")
    with pytest.raises(ReportError, match="n is 3, but there are 1 items"):
        chapter.record("score/old", 1.0, unit="points", n=3, items=[1.0])
    with pytest.raises(ReportError, match="finite"):
        chapter.record("score/old", 1.0, unit="points", items=[math.nan])
    with pytest.raises(ReportError, match="weights has 2 entries, items 1"):
        chapter.record("score/old", 1.0, unit="points", items=[1.0], weights=[1.0, 2.0])
    with pytest.raises(ReportError, match="profile 'publik': expected one of smoke"):
        Chapter("small-talk", profile="publik")
    with pytest.raises(ReportError, match="slug 'Small_Talk': expected lower-case words"):
        Chapter("Small_Talk")
    with pytest.raises(ReportError, match=r"big-talk\.yml: no such file"):
        Chapter("big-talk")
    chapter.use(USE)
    with pytest.raises(ReportError, match="data set 'talk' is used in two forms"):
        chapter.use(SimpleNamespace(**{**vars(USE), "version": "2"}))
    with pytest.raises(ReportError, match=r"parameters\.path"):
        Chapter("small-talk", parameters={"path": object()}).results()


def test_a_public_run_must_answer_its_claims(checkout):
    chapter = Chapter("small-talk", profile="public")
    chapter.record("score/new", 1.0, unit="points")
    with pytest.raises(ReportError, match="small-talk, finding C1: this run did not record score/old"):
        chapter.finish()
    assert not (checkout / "_build").exists()


def test_only_claims_that_can_be_tested_must_be_answered(checkout, claims_text, tmp_path, monkeypatch):
    monkeypatch.setenv("ECHOBOOK_RESULT", str(tmp_path / "result.json"))
    claims = checkout / "data" / "claims" / "small-talk.yml"
    closed = claims_text.replace("- id: C2", "  not_testable: no data\n- id: C2")
    claims.write_text(closed, encoding="utf-8")
    with pytest.raises(ReportError, match="small-talk, check K1: this run did not record score/old"):
        Chapter("small-talk", profile="public").finish()
    checked = Chapter("small-talk", profile="public")
    checked.record("score/old", 0.5, unit="points")
    checked.finish()
    assert list(read_results(tmp_path / "result.json").metrics) == ["score/old"]
    claims.write_text(claims_text, encoding="utf-8")
    with pytest.raises(ReportError, match=r"finding C1: this run did not record score/new, score/old"):
        Chapter("small-talk", profile="paper").finish()
    Chapter("small-talk", profile="default").finish()  # a small run may leave claims open


def test_record_of_an_earlier_run_survives_a_refusal(checkout, tmp_path, monkeypatch):
    target = tmp_path / "result.json"
    monkeypatch.setenv("ECHOBOOK_RESULT", str(target))
    both(Chapter("small-talk", profile="public")).finish()
    before = target.read_text(encoding="utf-8")
    with pytest.raises(ReportError):
        Chapter("small-talk", profile="public").finish()
    assert target.read_text(encoding="utf-8") == before


def recorded(checkout, make, head, *gains):
    for seed, gain in enumerate(gains):
        folder = checkout / "data" / "recorded" / "public" / "small-talk"
        write_results(
            make({"score/new": 0.5 + gain, "score/old": 0.5}, seed=seed, commit=head),
            folder / f"seed-{seed}.json",
        )


def test_box_and_table_before_any_record(chapter):
    assert repr(chapter.verdict_box()).count("not yet recorded") == 4  # finding, check, totals, cost
    assert chapter.recorded("score/new") is None
    html = both(chapter).claims_table().to_html()
    assert ">0.100 points<" in html
    assert "not yet recorded" in html


def test_box_and_table_with_records(chapter, checkout, make, head):
    recorded(checkout, make, head, 0.1, 0.11, 0.12)
    box = chapter.verdict_box()
    assert "verdict-reproduced" in box.markup
    assert "verdict-untestable" in box.markup
    assert "3 recorded public runs" in repr(box)
    assert "It scales to &lt; 1 s." in box.markup
    assert "1 CPU-s, 100 MiB of memory, 12 parameters" in repr(box)
    html = chapter.claims_table().to_html()
    assert "gain over the old way: 0.110 [0.085, 0.135] points (3 seeds)" in html
    assert "2.0 points" in html
    assert "no figure (recalled)" in html
    assert 'href="#small-talk-c1"' in html
    assert chapter.recorded("score/old").values == (0.5, 0.5, 0.5)


def test_a_smoke_record_cannot_reach_the_page(chapter, checkout, make, head):
    recorded(checkout, make, head, 0.1)
    path = checkout / "data" / "recorded" / "public" / "small-talk" / "seed-0.json"
    plain = json.loads(path.read_text(encoding="utf-8"))
    plain["profile"] = "smoke"
    path.write_text(json.dumps(plain), encoding="utf-8")
    for show in (chapter.verdict_box, chapter.claims_table, lambda: chapter.recorded("score/new")):
        with pytest.raises(ReportError, match="profile: expected 'public', found 'smoke'"):
            show()


def test_table_has_the_chapter_in_its_id(chapter):
    html = chapter.table(pd.DataFrame({"x": [1.23456]}), name="rows", caption="Rows.", digits=2).to_html()
    assert 'id="T_small-talk-rows"' in html
    assert ">1.23<" in html


def test_kept_work_adds_to_the_cost_and_is_told_on_the_stamp(chapter, monkeypatch, tmp_path):
    chapter.add_kept_cost(100.0)
    chapter.add_kept_cost(20.5)
    cost = chapter.results().cost
    assert cost.kept_cpu_seconds == 120.5
    assert cost.whole_cpu_seconds == pytest.approx(cost.cpu_seconds + 120.5)
    monkeypatch.setenv("ECHOBOOK_RESULT", str(tmp_path / "result.json"))
    assert "read results that took 120.5 CPU-s" in chapter.finish()._repr_html_()


def test_without_kept_work_nothing_is_said_of_it(chapter, monkeypatch, tmp_path):
    monkeypatch.setenv("ECHOBOOK_RESULT", str(tmp_path / "result.json"))
    assert "read results" not in chapter.finish()._repr_html_()


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_kept_cost_that_is_none_is_refused(chapter, seconds):
    with pytest.raises(ReportError, match="kept cost"):
        chapter.add_kept_cost(seconds)
