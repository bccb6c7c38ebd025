"""Plans: the effect in view, the number of seeds against closed forms and simulation, words and refusals."""

import math

import numpy as np
import pytest
import yaml
from scipy import stats

from echobook.report.claims import Finding, Test, parse_claims
from echobook.report.errors import ResultsError
from echobook.report.plan import (
    effect_of,
    load_pilots,
    plan_test,
    plan_tests,
    runs_to_plan_from,
)
from echobook.report.plan_text import minutes_of, plan_entries, plan_text
from echobook.report.results import Cost, write_results

PRINTED = {"value": None, "unit": "", "text": "none", "source": "abstract", "provenance": "read"}


def criterion(**fields):
    plain = {
        "name": "t",
        "words": "w",
        "metric": "a",
        "comparison": "difference",
        "against": 0,
        "unit": "points",
        "direction": "above",
        "bound": 0.0,
        "smallest_effect": 0.5,
        "resampling": {"unit": "seeds"},
    }
    return Test.model_validate({**plain, **fields})


def finding(*tests, **fields):
    plain = {"id": "C1", "statement": "s", "anchor": "a-c1", "origin": "ours", "printed": PRINTED, **fields}
    return Finding.model_validate({**plain, "tests": [test.model_dump() for test in tests]})


def plan(test, results, **fields):
    return plan_test(finding(test, **fields), test, results)


def runs(make, *values, first=0):
    return [make({"a": float(value)}, seed=first + k) for k, value in enumerate(values)]


TWICE, NONE, SEEN = "twice the smallest effect", "no effect", "as seen so far"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (1.0, TWICE)),
        ({"paper_effect": 3.0}, (3.0, "the paper's")),
        ({"paper_effect": -3.0}, (1.0, TWICE)),  # not beyond the bound
        ({"paper_effect": 0.0}, (1.0, TWICE)),
        ({"bound": 0.25, "smallest_effect": 0.5}, (0.75, TWICE)),
        ({"direction": "below", "smallest_effect": -0.5}, (-1.0, TWICE)),
        ({"bound": -0.1, "smallest_effect": -0.1}, (0.0, NONE)),
        ({"direction": "below", "bound": 0.1, "smallest_effect": 0.1}, (0.0, NONE)),
        ({"comparison": "ratio", "against": 2, "bound": 0.9, "smallest_effect": 0.9}, (1.0, NONE)),
        ({"bound": 1.5, "smallest_effect": 1.5}, (2.0, SEEN)),
        ({"comparison": "value", "against": None, "bound": -1.0, "smallest_effect": -1.0}, (2.0, SEEN)),
        ({"bound": 2.0, "smallest_effect": 2.0}, None),
        (
            {"direction": "within", "bound": [-0.3, 0.1], "smallest_effect": None},
            (-0.1, "middle of the bounds"),
        ),
        (
            {"direction": "within", "bound": [-0.3, 0.1], "smallest_effect": None, "paper_effect": 0.05},
            (0.05, "the paper's"),
        ),
    ],
)
def test_effect_planned_for(fields, expected):
    found = effect_of(criterion(**fields), seen=2.0)
    assert (found and (found.value, found.source)) == (expected and (pytest.approx(expected[0]), expected[1]))


def test_seeds_are_those_of_the_t_test_with_this_spread(make):
    values = [0.2, 1.4, -0.3, 0.9, 1.1, 0.4]
    found = plan(criterion(), runs(make, *values))
    assert (found.estimate, found.decision) == (pytest.approx(np.mean(values)), "undecided")
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, 5) * stats.sem(values))
    assert found.spread == pytest.approx(np.std(values, ddof=1))
    assert found.item_error is None

    def power(seeds):  # noncentral t, one tail
        shift = 1.0 / found.spread * math.sqrt(seeds)
        return 1 - stats.nct.cdf(stats.t.ppf(0.975, seeds - 1), seeds - 1, shift)

    needed = next(seeds for seeds in range(2, 200) if power(seeds) >= 0.8)
    assert abs(found.seeds - needed) <= 1  # simulation of 20,000 trials: .003 of power
    assert power(found.seeds) >= 0.78


def test_more_chances_take_more_seeds(make):
    tests = [criterion(name=name) for name in "xyz"]
    results = runs(make, 0.2, 1.4, -0.3, 0.9)
    alone = plan_test(finding(*tests), tests[0], results)
    chosen = plan_test(finding(*tests, combine="any"), tests[0], results)
    assert chosen.seeds > alone.seeds


def test_the_median_takes_more_seeds(make):
    results = runs(make, 0.2, 1.4, -0.3, 0.9)
    mean, median = plan(criterion(), results), plan(criterion(aggregate="median"), results)
    assert median.spread == pytest.approx(mean.spread * math.sqrt(math.pi / 2))
    assert median.seeds > mean.seeds


def with_items(make, rng, *, spread, noise, seeds=6, items=50):
    difficulty = rng.normal(size=items)
    tables = [spread * rng.normal() + difficulty + noise * rng.normal(size=items) for _ in range(seeds)]
    return [
        make({"a": float(table.mean())}, seed=seed, items={"a": table.tolist()})
        for seed, table in enumerate(tables)
    ]


def test_shared_items_set_a_limit_that_no_number_of_seeds_lowers(make):
    results = with_items(make, np.random.default_rng(1), spread=0.01, noise=0.1)
    crossed = criterion(smallest_effect=0.15, resampling={"unit": "items", "seeds": "crossed"})
    found = plan(crossed, results)
    assert (found.seeds, found.effect.value) == (None, pytest.approx(0.3))  # item error 1 / sqrt(50) = .14
    assert found.item_error == pytest.approx(1 / math.sqrt(50), rel=0.3)
    assert "all share the items" in found.reason
    nested = criterion(smallest_effect=0.15, resampling={"unit": "items", "seeds": "nested"})
    assert plan(nested, results).seeds is not None
    easy = criterion(smallest_effect=0.6, resampling={"unit": "items", "seeds": "crossed"})
    assert plan(easy, results).seeds == 2


def test_what_cannot_be_planned_says_why(make):
    one = plan(criterion(), runs(make, 1.0))
    assert (one.estimate, one.half_width, one.seeds) == (1.0, None, None)
    assert one.reason == "one run shows no spread between seeds; run two or more"
    missing = plan(criterion(metric="b"), runs(make, 1.0, 2.0))
    assert (missing.estimate, missing.seeds) == (None, None)
    assert "no metric 'b'; known: a" in missing.reason
    hopeless = plan(criterion(bound=2.0, smallest_effect=2.0), runs(make, 1.0, 2.0))
    assert hopeless.reason == "no effect beyond the bound to plan for"
    assert hopeless.half_width > 0


@pytest.fixture
def claims(claims_text):
    return parse_claims(claims_text, "x.yml")


def pilots(make, count=3, first=1000):
    found = []
    for k in range(count):
        run = make({"score/new": 0.52 + 0.01 * k, "score/old": 0.5}, seed=first + k)
        run.cost = Cost(wall_seconds=1.0, cpu_seconds=30.0 + k, peak_memory_mib=1.0, kept_cpu_seconds=29.0)
        found.append(run)
    return found


def test_text_of_a_plan(make, claims):
    results = pilots(make)
    assert minutes_of(results) == pytest.approx(1.0)
    plans = plan_tests(claims, results)
    assert [(one.finding, one.test.name) for one in plans] == [("C1", "gain")]  # C2 cannot be tested
    lines = plan_text(claims, plans, results).split("\n")
    seeds = plans[0].seeds
    assert lines == [
        "small-talk: 3 pilot runs of profile public, 1.0 CPU minutes each; seeds for 80% power",
        "C1 gain: 0.03 ± 0.0248 points, holds",
        f"    at an effect of 0.04 (the paper's): {seeds} seeds, {seeds:.1f} CPU minutes",
        f"1 test, 0 undecided; {seeds} seeds for all within reach, {seeds:.1f} CPU minutes",
    ]


def test_text_without_a_number_says_why(make, claims):
    results = pilots(make, count=1, first=0)
    lines = plan_text(claims, plan_tests(claims, results), results).split("\n")
    assert lines[0].startswith("small-talk: 1 recorded run of profile public, ")
    assert lines[1:] == [
        "C1 gain: 0.02 ± – points, undecided",
        "    at an effect of 0.04 (the paper's): one run shows no spread between seeds; run two or more",
        "1 test, 1 undecided",
    ]
    bare = [make({"other": 1.0}, seed=seed) for seed in (0, 1)]
    lines = plan_text(claims, plan_tests(claims, bare), bare).split("\n")
    assert lines[1] == "C1 gain: nothing known yet"
    assert "no metric 'score/new'" in lines[2]


def test_entries_fit_the_claims_file(make, claims_text, claims):
    plans = plan_tests(claims, pilots(make))
    text = claims_text[: claims_text.index("  tests:\n  - {finding: C1")]
    text += plan_entries(plans) + "\ntouched_after_results: []\n"
    [entry] = parse_claims(text, "x.yml").plan.tests
    assert (entry.finding, entry.test, entry.effect, entry.power) == ("C1", "gain", 0.04, 0.8)
    assert (entry.seed_spread, entry.item_error, entry.seeds_needed) == (0.01, None, plans[0].seeds)
    assert yaml.safe_load(plan_entries([])) == {"tests": []}
    assert yaml.safe_load(plan_entries(plan_tests(claims, pilots(make, count=1)))) == {"tests": []}


def test_entries_out_of_reach_are_null(make, claims):
    results = with_items(make, np.random.default_rng(1), spread=0.01, noise=0.1)
    test = criterion(smallest_effect=0.15, resampling={"unit": "items", "seeds": "crossed"})
    [entry] = yaml.safe_load(plan_entries([plan(test, results)]))["tests"]
    assert entry["seeds_needed"] is None
    assert entry["item_error"] > 0


def test_pilots_are_read_from_their_folder_and_nothing_else(make, tmp_path, checkout, head):
    folder = tmp_path / "pilots"
    with pytest.raises(
        ResultsError, match=r"pilots: expected pilot runs such as seed-1000\.json, found none; run"
    ):
        load_pilots(folder, "small-talk")
    for run in pilots(make):
        write_results(run, folder / f"seed-{run.seed}.json")
    assert [run.seed for run in load_pilots(folder, "small-talk")] == [1000, 1001, 1002]
    assert [run.seed for run in runs_to_plan_from(checkout, "small-talk", folder)] == [1000, 1001, 1002]
    with pytest.raises(ResultsError, match="slug: expected 'big-talk'"):
        load_pilots(folder, "big-talk")
    write_results(make(seed=999), folder / "seed-999.json")
    with pytest.raises(ResultsError, match=r"seed-999\.json: expected pilot seeds from 1000 on"):
        load_pilots(folder, "small-talk")
    (folder / "seed-999.json").unlink()
    write_results(make({"other": 1.0}, seed=1003), folder / "seed-1003.json")
    with pytest.raises(ResultsError, match="do not hold the same metrics"):
        load_pilots(folder, "small-talk")


def test_records_are_planned_from_without_pilots(make, checkout, head):
    with pytest.raises(ResultsError, match="small-talk: nothing is recorded to plan from; make pilot runs"):
        runs_to_plan_from(checkout, "small-talk")
    folder = checkout / "data" / "recorded" / "public" / "small-talk"
    for seed in (0, 1):
        write_results(make(seed=seed, commit=head), folder / f"seed-{seed}.json")
    assert [run.seed for run in runs_to_plan_from(checkout, "small-talk")] == [0, 1]
