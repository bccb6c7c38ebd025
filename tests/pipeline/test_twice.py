"""Reproducibility and verification on small chapters: equal runs pass, unequal ones are named."""

from __future__ import annotations

import json
import shutil

import pytest

from echobook.pipeline.errors import PipelineError
from echobook.pipeline.run import prepare
from echobook.pipeline.runner import run_chapter
from echobook.pipeline.twice import compare_bits, compare_tolerance, run_in, twice
from echobook.pipeline.verify import record, verify


@pytest.mark.slow
def test_an_honest_chapter_is_equal_twice(small, capsys):
    small.chapter("print(words)")
    assert twice(small.project, "alpha", "default") == 0
    text = capsys.readouterr().out
    assert "run twice: 1 metrics and the notebook are equal to the last bit" in text
    assert "other instructions: 1 of 1 metrics equal, 0 beyond" in text
    assert not (small.root / "_build").exists()


def test_a_random_chapter_is_caught_in_metric_and_notebook(small):
    small.chapter("import random\nnoise = random.random()\nprint(noise)")
    path = small.root / "notebooks/part/alpha.py"
    path.write_text(path.read_text().replace('"noise": noise, ', ""))
    one, other = (run_in(small.project, "alpha", "default", None) for _ in range(2))
    found = compare_bits(one, other)
    assert found[0].startswith("score: ")
    assert found[1].startswith("notebook: ")
    assert compare_tolerance(one.results, one.results) == []


def test_tolerance_is_relative_beyond_one_and_absolute_below(small):
    small.chapter()
    results = run_in(small.project, "alpha", "default", None).results

    def with_value(value: float, *, timing: bool = False):
        changed = results.metrics["score"].model_copy(update={"value": value, "timing": timing})
        return results.model_copy(update={"metrics": {"score": changed}})

    assert compare_tolerance(with_value(100.0), with_value(101.9)) == []
    assert compare_tolerance(with_value(100.0), with_value(102.2)) == ["score: 100.0 against 102.2"]
    assert compare_tolerance(with_value(0.0), with_value(0.019)) == []
    assert compare_tolerance(with_value(0.0), with_value(-0.021)) == ["score: 0.0 against -0.021"]
    slow, fast = with_value(5.0, timing=True), with_value(1.0, timing=True)
    assert compare_tolerance(slow, fast) == []
    assert len(compare_tolerance(slow, with_value(1.0))) == 1


def keep(small, **changes) -> None:
    """Store a run as if it had been recorded."""
    run = prepare(small.project, "alpha")
    run_chapter(run)
    target = small.project.recorded("default", "alpha") / "seed-0.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(run.result, target)
    found = json.loads(target.read_text())
    found["metrics"]["score"].update(changes)
    target.write_text(json.dumps(found))


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({}, 0, "within tolerance; 1 of 1 figures inside, 1 equal to the last bit"),
        ({"value": 0.3 * (1 + 1e-8)}, 0, "1 of 1 figures inside, 0 equal"),
        ({"value": 0.31}, 1, "score: 0.300000 is outside"),
    ],
)
def test_verify_says_within_or_outside(small, capsys, monkeypatch, changes, status, words):
    small.chapter()
    keep(small, **changes)
    monkeypatch.setattr("echobook.report.records.check_recordable", lambda *_: None)
    assert verify(small.project, "alpha", "default") == status
    assert words in capsys.readouterr().out


def test_verify_without_a_record(small):
    small.chapter()
    with pytest.raises(PipelineError, match="chapter alpha has no recorded default results"):
        verify(small.project, "alpha", "default")


def test_record_refuses_smoke_and_foreign_seeds(small):
    small.chapter()
    with pytest.raises(PipelineError, match="a smoke run is no evidence"):
        record(small.project, "alpha", "smoke")
    with pytest.raises(PipelineError, match="seed 0: the seeds of default"):
        record(small.project, "alpha", "default", [9])


def test_record_keeps_all_or_none(small, alpha_claims, monkeypatch):
    small.chapter()
    with pytest.raises(ValueError, match="commit"):  # a run without a commit cannot be recorded
        record(small.project, "alpha", "default")
    assert not small.project.recorded("default", "alpha").exists()
    for module in ("record", "records"):
        monkeypatch.setattr(f"echobook.report.{module}.check_recordable", lambda *_: None)
    (small.root / "data/claims/alpha.yml").write_text(alpha_claims)
    assert record(small.project, "alpha", "default") == 0
    assert (small.project.recorded("default", "alpha") / "seed-0.json").is_file()
