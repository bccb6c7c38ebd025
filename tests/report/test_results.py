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
