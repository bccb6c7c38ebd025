"""Results files: exact text, round trip, atomic writing, and everything that must be refused."""

import json
import os

import numpy as np
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echobook.report.errors import ResultsError
from echobook.report.results import (
    Dataset,
    Metric,
    differences,
    dumps,
    loads,
    metrics_digest,
    read_results,
    six_digits,
    write_results,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def test_text_is_sorted_and_lists_stand_on_one_line(make):
    text = dumps(make({"b/y": 0.1, "a/x": 2.0}, items={"a/x": [1.0, 3.0, 2.0]}))
    assert text.endswith("}\n")
    assert text.index('"a/x"') < text.index('"b/y"')
    assert '      "items": [1,3,2],\n      "n": 3,\n      "unit": "points",\n      "value": 2.0\n' in text
    assert "timing" not in text
    assert "weights" not in text


def test_whole_text_of_a_small_file(make):
    results = make({"a": 0.1}, items={"a": [0.5, -0.0, 3.0]}, weights={"a": [1.0, 2.5, 0.0]}, timing=("a",))
    use = {"name": "talk", "version": "1", "sha256": "c" * 64, "licence": "CC0-1.0", "source": "generator"}
    results.datasets = [Dataset(rows={"train": 5, "dev": 0}, **use), Dataset(rows={}, **use)]
    text = dumps(results)
    assert (
        text[text.index('  "datasets"') : text.index('  "environment"')]
        == """  "datasets": [
    {
      "licence": "CC0-1.0",
      "name": "talk",
      "rows": {
        "dev": 0,
        "train": 5
      },
      "sha256": "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
      "source": "generator",
      "version": "1"
    },
    {
      "licence": "CC0-1.0",
      "name": "talk",
      "rows": {},
      "sha256": "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
      "source": "generator",
      "version": "1"
    }
  ],
"""
    )
    assert (
        text[text.index('  "format"') : text.index('  "parameter_counts"')]
        == """  "format": 1,
  "metrics": {
    "a": {
      "items": [0.5,-0.0,3],
      "n": 3,
      "timing": true,
      "unit": "points",
      "value": 0.1,
      "weights": [1,2.5,0]
    }
  },
"""
    )
    assert loads(text, "text") == results


def test_letters_beyond_ascii_are_written_as_they_are(make):
    results = make(parameters={"name": "Zoë µ"})
    assert '"name": "Zoë µ"' in dumps(results)
    assert loads(dumps(results), "text").parameters == {"name": "Zoë µ"}


def test_files_can_be_read_by_others(make, tmp_path):
    assert write_results(make(), tmp_path / "seed-0.json").stat().st_mode & 0o777 == 0o644


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=FINITE, items=st.lists(FINITE, min_size=1, max_size=6))
def test_round_trip_is_exact(make, value, items):
    before = make({"a": value}, items={"a": items})
    after = loads(dumps(before), "text")
    assert after == before
    assert dumps(after) == dumps(before)
    assert metrics_digest(after) == metrics_digest(before)


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e6, 1e6))
def test_six_digits(value):
    rounded = six_digits(value)
    assert rounded == six_digits(rounded)
    assert abs(rounded - value) <= 5e-6 * abs(value)  # half a unit of the sixth digit
    assert six_digits(0.123456789) == 0.123457


def test_parameter_lists_keep_their_types(make):
    again = loads(dumps(make(parameters={"overlap": [0.0, 0.5, 1.0], "sizes": [1, 2]})), "text")
    assert [type(entry) for entry in again.parameters["overlap"]] == [float] * 3
    assert [type(entry) for entry in again.parameters["sizes"]] == [int] * 2


def test_write_then_read(make, tmp_path):
    path = tmp_path / "new folder" / "seed-0.json"
    write_results(make(), path)
    assert read_results(path, slug="small-talk", profile="public", seed=0) == make()
    assert [entry.name for entry in path.parent.iterdir()] == ["seed-0.json"]


def test_failed_write_leaves_the_old_file(make, tmp_path, monkeypatch):
    path = write_results(make(), tmp_path / "seed-0.json")

    def full_disk(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_results(make({"other": 1.0}), path)
    assert read_results(path) == make()
    assert [entry.name for entry in tmp_path.iterdir()] == ["seed-0.json"]


def _edited(make, change):
    plain = json.loads(dumps(make()))
    change(plain)
    return json.dumps(plain)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.pop("seed"), "seed: Field required"),
        (lambda p: p.update(seed="0"), "seed: .*valid integer, found '0'"),
        (lambda p: p.update(seed=-1), "seed: .*greater than or equal to 0, found '-1'"),
        (
            lambda p: p.update(profile="publik"),
            "profile: .*'smoke', 'default', 'public' or 'paper', found 'publik'",
        ),
        (lambda p: p.update(remark="x"), "remark: Extra inputs are not permitted"),
        (lambda p: p["metrics"]["score/new"].update(value="high"), "metrics.score/new.value: .*valid number"),
        (lambda p: p["metrics"]["score/new"].update(value=True), "metrics.score/new.value: .*valid number"),
        (lambda p: p["metrics"]["score/new"].update(n=0), "metrics.score/new.n"),
        (lambda p: p["metrics"]["score/new"].update(items=[1.0]), "n is 4, but there are 1 items"),
        (lambda p: p["metrics"]["score/new"].update(weights=[1.0]), "weights has 1 entries, items 0"),
        (
            lambda p: p["metrics"].update({"Score/New": {"value": 1.0, "unit": ""}}),
            "String should match pattern",
        ),
        (lambda p: p["environment"].update(commit="main"), "environment.commit: .*pattern"),
        (lambda p: p["cost"].update(cpu_seconds=-1.0), "cost.cpu_seconds"),
        (lambda p: p.update(format=2), "format: Input should be 1"),
    ],
)
def test_bad_field_is_named(make, change, message):
    with pytest.raises(ResultsError, match=message) as caught:
        loads(_edited(make, change), "here.json")
    assert str(caught.value).startswith("here.json: ")


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_non_finite_numbers_are_refused(make, word):
    text = dumps(make()).replace('"value": 0.6', f'"value": {word}')
    with pytest.raises(ResultsError, match=f"{word} found, expected a finite number"):
        loads(text, "here.json")


def test_overflowing_number_is_refused(make):
    with pytest.raises(ResultsError, match="finite number"):
        loads(dumps(make()).replace('"value": 0.6', '"value": 1e999'), "here.json")


def test_nan_in_memory_is_refused():
    for bad in (float("nan"), float("inf")):
        with pytest.raises(pydantic.ValidationError, match="finite"):
            Metric(value=bad, unit="points")
        with pytest.raises(pydantic.ValidationError, match="finite"):
            Metric(value=1.0, unit="points", items=[bad])


@pytest.mark.parametrize(("field", "listed"), [("weights", [1.0, 0.0]), ("groups", [7, 7])])
def test_every_score_has_its_weight_and_group(field, listed):
    metric = Metric(value=1.0, unit="points", items=[0.5, 1.5], **{field: listed})
    assert getattr(metric, field) == listed
    for wrong in (listed[:1], [*listed, listed[0]], []):
        with pytest.raises(pydantic.ValidationError, match=f"{field} has {len(wrong)} entries, items 2"):
            Metric(value=1.0, unit="points", items=[0.5, 1.5], **{field: wrong})
    with pytest.raises(pydantic.ValidationError, match=f"{field} has 2 entries, items 0"):
        Metric(value=1.0, unit="points", **{field: listed})


def test_weights_below_zero_are_refused():
    with pytest.raises(pydantic.ValidationError, match=r"weights\.1"):
        Metric(value=1.0, unit="points", items=[0.5, 1.5], weights=[1.0, -1.0])


def test_whole_cost_counts_what_was_kept(make):
    cost = make().cost
    assert (cost.kept_cpu_seconds, cost.whole_cpu_seconds) == (0.0, 1.25)
    assert cost.model_copy(update={"kept_cpu_seconds": 2.0}).whole_cpu_seconds == 3.25


def test_repeated_metric_is_refused(make):
    text = dumps(make()).replace('"score/old"', '"score/new"')
    with pytest.raises(ResultsError, match="'score/new' appears twice"):
        loads(text, "here.json")


@pytest.mark.parametrize(
    "damage", [lambda t: t[: len(t) // 2], lambda t: "", lambda t: "[1]", lambda t: t + "x"]
)
def test_truncated_or_foreign_text_is_refused(make, damage):
    with pytest.raises(ResultsError, match=r"^here\.json: "):
        loads(damage(dumps(make())), "here.json")


def test_unreadable_file_is_named(tmp_path):
    with pytest.raises(ResultsError, match=r"seed-0\.json: cannot be read"):
        read_results(tmp_path / "seed-0.json")
    (tmp_path / "seed-1.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ResultsError, match=r"seed-1\.json: cannot be read"):
        read_results(tmp_path / "seed-1.json")


@pytest.mark.parametrize(("field", "other"), [("slug", "advin"), ("profile", "default"), ("seed", 3)])
def test_wrong_place_is_refused(make, tmp_path, field, other):
    path = write_results(make(), tmp_path / "seed-0.json")
    with pytest.raises(ResultsError, match=f"seed-0.json: {field}: expected {other!r}, found"):
        read_results(path, **{field: other})


def test_unknown_metric_lists_near_names(make):
    with pytest.raises(ResultsError, match="no metric 'score/neu'; known: score/new, score/old"):
        make().value("score/neu")


def test_unknown_metric_without_near_names_lists_the_first_twelve(make):
    results = make({f"m{k:02}": 1.0 for k in range(20)})
    with pytest.raises(ResultsError) as caught:
        results.metric("other/name")
    listed = ", ".join(f"m{k:02}" for k in range(12))
    assert str(caught.value) == f"small-talk (public, seed 0): no metric 'other/name'; known: {listed}"


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("slug", "big-talk"),
        ("profile", "paper"),
        ("seed", 4),
        ("parameters", {"size": 4}),
        ("parameter_counts", {"head": 13}),
        ("datasets", [Dataset(name="t", version="1", sha256="c", licence="l", rows={}, source="s")]),
    ],
)
def test_two_runs_that_differ_in_one_field_are_told_apart(make, field, changed):
    one, other = make(), make()
    setattr(other, field, changed)
    assert metrics_digest(one) != metrics_digest(other)
    assert differences(one, other) == [f"{field}: {getattr(one, field)!r} against {changed!r}"]


def test_a_time_in_one_run_only_or_by_one_run_only_is_a_difference(make):
    timed, plain = make({"a": 1.0}, timing=("a",)), make({"a": 2.0})
    assert differences(timed, plain) == ["a: 1.0 against 2.0"]
    assert differences(plain, timed) == ["a: 2.0 against 1.0"]
    both = make({"a": 2.0, "speed": 1.0}, timing=("speed",))
    assert differences(plain, both) == ["speed: only in the second run"]


def test_digest_and_differences_ignore_cost_environment_and_timings(make):
    one = make({"a": 1.0, "speed": 3.0}, timing=("speed",))
    other = make({"a": 1.0, "speed": 4.0}, timing=("speed",), commit="1" * 40, dirty=True)
    assert metrics_digest(one) == metrics_digest(other)
    assert differences(one, other) == []


def test_differences_name_every_metric(make):
    one = make({"a": 1.0, "b": 2.0, "c": 3.0}, items={"c": [3.0, 3.0]})
    other = make({"a": float(np.nextafter(1.0, 2.0)), "c": 3.0, "d": 0.0}, items={"c": [2.0, 4.0]}, seed=1)
    assert metrics_digest(one) != metrics_digest(other)
    assert differences(one, other) == [
        "seed: 0 against 1",
        "a: 1.0 against 1.0000000000000002",
        "b: only in the first run",
        "c: per-item scores differ",
        "d: only in the second run",
    ]
