"""Measures: values, aggregates and intervals against hand-made examples and slow, obvious versions."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from echobook.report.claims import CheckTest, Test
from echobook.report.errors import ClaimsError, ResultsError
from echobook.report.measures import aggregate, components_of, interval_of, seed_value

CROSSED, NESTED = {"unit": "items", "seeds": "crossed"}, {"unit": "items", "seeds": "nested"}
GROUPS = {"unit": "groups", "seeds": "crossed"}


def criterion(**fields):
    plain = {
        "name": "t",
        "words": "w",
        "metric": "a",
        "comparison": "value",
        "unit": "",
        "direction": "above",
        "bound": 0.0,
        "smallest_effect": 1.0,
        "resampling": CROSSED,
        "differs": "one thing",
        "otherwise": "nothing",
    }
    return Test.model_validate({**plain, **fields})


def made(make, scores, seed=0, weights=None, groups=None):
    """A run whose metrics are the (weighted) means of their items."""
    weights = weights or {}
    values = {name: float(np.average(own, weights=weights.get(name))) for name, own in scores.items()}
    return make(
        values,
        seed=seed,
        items={name: [float(score) for score in own] for name, own in scores.items()},
        weights={name: [float(weight) for weight in own] for name, own in weights.items()},
        groups=groups,
    )


def interval(test, results):
    return interval_of(test, [seed_value(test, result) for result in results], results)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"comparison": "value"}, 3.0),
        ({"comparison": "difference", "against": "b"}, 1.0),
        ({"comparison": "difference", "against": 2.5}, 0.5),
        ({"comparison": "difference", "against": 0}, 3.0),
        ({"comparison": "difference", "metric": "zero", "against": "b"}, -2.0),
        ({"comparison": "ratio", "against": "b"}, 1.5),
        ({"comparison": "ratio", "against": 4}, 0.75),
        ({"comparison": "relative_change", "against": "b"}, 0.5),
        ({"comparison": "relative_change", "against": "c"}, 4.0),  # (3 - -1) / |-1|
        ({"comparison": "relative_change", "metric": "c", "against": "b"}, -1.5),
        ({"comparison": "order", "metric": ["a", "b", "c"]}, 1.0),  # steps 1 and 3
        ({"comparison": "order", "metric": ["a", "c", "b"]}, -3.0),
    ],
)
def test_comparisons_by_hand(make, fields, expected):
    result = make({"a": 3.0, "b": 2.0, "c": -1.0, "zero": 0.0})
    assert seed_value(criterion(resampling={"unit": "seeds"}, **fields), result) == expected


def test_equality_of_a_check_is_a_distance(make):
    result = make({"a": 3.0, "c": -1.0})
    for metric, against, expected in (("a", "c", 4.0), ("c", "a", 4.0), ("a", 3.5, 0.5)):
        plain = {"name": "t", "words": "w", "unit": "", "comparison": "equality", "tolerance": 1.0}
        test = CheckTest.model_validate({**plain, "metric": metric, "against": against})
        assert seed_value(test, result) == expected


def test_aggregates():
    assert aggregate(criterion(), [1.0, 2.0, 6.0]) == 3.0
    median = criterion(aggregate="median", resampling={"unit": "seeds"})
    assert aggregate(median, [6.0, 1.0, 2.0]) == 2.0


@pytest.mark.parametrize("comparison", ["ratio", "relative_change"])
def test_division_by_zero_is_refused_by_name(make, comparison):
    with pytest.raises(
        ClaimsError, match=rf"small-talk \(seed 7\): test t: {comparison} against b, which is 0"
    ):
        seed_value(criterion(comparison=comparison, against="b"), make({"a": 1.0, "b": 0.0}, seed=7))
    assert seed_value(criterion(comparison="difference", against="b"), make({"a": 1.0, "b": 0.0})) == 1.0


def test_missing_metric_is_refused(make):
    with pytest.raises(ResultsError, match="no metric 'a'; known: b"):
        seed_value(criterion(), make({"b": 1.0}))


def test_interval_over_seeds_is_students(make):
    values = [0.3, 0.9, 0.4, 0.8, 0.5]
    results = [make({"a": value}, seed=seed) for seed, value in enumerate(values)]
    found = interval(criterion(resampling={"unit": "seeds", "level": 0.9}), results)
    expected = stats.t.interval(0.9, 4, loc=np.mean(values), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-12)
    assert found.level == 0.9
    median = interval(criterion(aggregate="median", resampling={"unit": "seeds"}), results)
    assert median.estimate == 0.5
    assert interval(criterion(resampling={"unit": "seeds"}), results[:1]) is None
    wider = interval_of(criterion(resampling={"unit": "seeds"}), values, results, level=0.99)
    assert wider.level == 0.99
    assert wider.high > found.high


def test_two_seeds_have_an_interval(make):
    """By hand: values .1 and .3, mean .2, standard error .1, Student's t with one degree 12.706."""
    results = [make({"a": value}, seed=seed) for seed, value in enumerate((0.1, 0.3))]
    found = interval(criterion(resampling={"unit": "seeds"}), results)
    assert (found.low, found.high) == pytest.approx((0.2 - 1.2706, 0.2 + 1.2706), abs=1e-4)


def test_seeds_alone_bring_no_error_of_items(make):
    values = [0.3, 0.9, 0.4]
    results = [make({"a": value}, seed=seed) for seed, value in enumerate(values)]
    found = components_of(criterion(resampling={"unit": "seeds"}), values, results)
    assert (found.own, found.shared, found.skew, found.item_degrees) == (0.0, 0.0, 0.0, math.inf)
    assert found.spread == pytest.approx(np.std(values, ddof=1))


def crossed_scores(rng, seeds=4, items=40, names="ab"):
    """Scores that share an item's difficulty in all seeds, for each seed and metric."""
    difficulty = rng.normal(size=items)
    shift = {"a": 1.0, "b": 3.0}
    return [
        {
            name: shift[name] + difficulty * (1 + (name == "b")) + 0.5 * rng.normal(size=items)
            for name in names
        }
        for _ in range(seeds)
    ]


def standard_error(tables, statistic, *, crossed):
    """Standard error of the mean over seeds, by leave-one-out loops; formula: metrics.intervals."""
    seeds, values, parts = len(tables), [], []
    for table in tables:
        values.append(statistic(table))
        without = [statistic(np.delete(table, k, axis=0)) for k in range(len(table))]
        parts.append((np.array(without) - np.mean(without)) * math.sqrt((len(table) - 1) / len(table)))
    variances = np.mean([part @ part for part in parts])
    pairs = [one @ other for one, other in itertools.combinations(parts, 2)] if crossed else [0.0]
    shared = max(float(np.mean(pairs)), 0.0)
    return math.sqrt(max(np.var(values, ddof=1), variances - shared) / seeds + shared)


STATISTICS = {
    "value": lambda x, y: x,
    "difference": lambda x, y: x - y,
    "ratio": lambda x, y: x / y,
    "relative_change": lambda x, y: (x - y) / abs(y),
}


@pytest.mark.parametrize("comparison", STATISTICS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("resampling", [CROSSED, NESTED])
def test_interval_over_items_matches_leave_one_out(make, comparison, weighted, resampling):
    rng = np.random.default_rng(3)
    scores = crossed_scores(rng)
    weights = {name: rng.integers(1, 9, size=40) for name in "ab"} if weighted else {}
    results = [made(make, own, seed, weights) for seed, own in enumerate(scores)]
    test = criterion(
        comparison=comparison, resampling=resampling, **({} if comparison == "value" else {"against": "b"})
    )
    ones = np.ones(40)
    tables = [
        np.stack([own["a"], weights.get("a", ones), own["b"], weights.get("b", ones)], axis=1)
        for own in scores
    ]

    def statistic(table):
        means = [np.average(table[:, k], weights=table[:, k + 1]) for k in (0, 2)]
        return STATISTICS[comparison](*means)

    found = interval(test, results)
    assert found.estimate == pytest.approx(np.mean([statistic(table) for table in tables]), rel=1e-9)
    expected = standard_error(tables, statistic, crossed=resampling is CROSSED)
    assert found.standard_error == pytest.approx(expected, rel=1e-6)
    assert found.low < found.estimate - found.standard_error  # wider than one standard error on each side
    assert found.high > found.estimate + found.standard_error


@pytest.mark.parametrize("comparison", ["difference", "ratio", "relative_change"])
def test_a_number_to_compare_with_does_not_vary(make, comparison):
    scores = crossed_scores(np.random.default_rng(5), names="a")
    results = [made(make, own, seed) for seed, own in enumerate(scores)]
    plain = interval(criterion(), results)
    found = interval(criterion(comparison=comparison, against=-2), results)
    centre, scale = {
        "difference": (plain.estimate + 2, 1.0),
        "ratio": (plain.estimate / -2, -0.5),
        "relative_change": ((plain.estimate + 2) / 2, 0.5),
    }[comparison]
    ends = sorted(centre + scale * (end - plain.estimate) for end in (plain.low, plain.high))
    assert (found.low, found.high) == pytest.approx(tuple(ends), rel=1e-9)


def test_shared_items_are_drawn_once_for_all_seeds(make):
    # All seeds have the same scores: they tell no more than one of them, unless the items are their own.
    scores = {"a": np.random.default_rng(6).normal(size=50)}
    results = [made(make, scores, seed) for seed in range(4)]
    crossed, nested = (interval(criterion(resampling=how), results) for how in (CROSSED, NESTED))
    one = np.std(scores["a"], ddof=1) / math.sqrt(50)
    assert crossed.standard_error == pytest.approx(one, rel=1e-4)  # items carry six digits, no more
    assert nested.standard_error == pytest.approx(one / 2, rel=1e-4)


def test_groups_are_drawn_together(make):
    labels = np.repeat([7, 3, 5, 9, 1, 8], 10)
    scores = np.random.default_rng(3).normal(size=10)[labels % 10]
    groups = {"a": labels.tolist()}
    results = [made(make, {"a": scores}, seed, groups=groups) for seed in range(2)]
    found = interval(criterion(resampling=GROUPS), results)
    centres = [scores[labels == label][0] for label in np.unique(labels)]
    assert found.standard_error == pytest.approx(stats.sem(centres), rel=1e-9)  # six equal groups
    single = interval(criterion(), results)
    assert single.standard_error < found.standard_error / 2


def test_constant_items_leave_nothing_open(make):
    results = [made(make, {"a": [4.0] * 5, "b": [2.0] * 5}, seed) for seed in range(2)]
    for resampling in (CROSSED, NESTED):
        found = interval(criterion(comparison="ratio", against="b", resampling=resampling), results)
        assert (found.estimate, found.low, found.high) == (2.0, 2.0, 2.0)


def test_measuring_twice_gives_the_same_bits(make):
    scores = {"a": np.random.default_rng(4).exponential(size=50)}
    result = made(make, scores)
    assert interval(criterion(), [result]) == interval(criterion(), [result])


def test_items_kept_to_six_digits_still_average_to_their_value(make):
    items = [1.23457e-4, 1.0, 123.457]  # each rounded to six digits
    value = (1.2345678e-4 + 1.0 + 123.4567) / 3
    result = make({"a": value}, items={"a": items})
    assert interval(criterion(), [result]).estimate == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(("value", "fits"), [(1.0, True), (1.00009, True), (1.0002, False), (0.9998, False)])
def test_items_that_average_to_something_else_are_refused(make, value, fits):
    result = make({"a": value}, items={"a": [0.5, 1.5]})
    if fits:
        assert interval(criterion(), [result]).estimate == 1.0
        return
    with pytest.raises(ClaimsError, match=f"per-item scores average to 1, but the value is {value}"):
        interval(criterion(), [result])


@pytest.mark.parametrize(("value", "fits"), [(0.0, True), (9e-7, True), (2e-6, False)])
def test_items_that_average_to_zero_may_be_a_millionth_off(make, value, fits):
    result = make({"a": value}, items={"a": [-0.5, 0.5]})
    if fits:
        assert interval(criterion(), [result]).estimate == 0.0
        return
    with pytest.raises(ClaimsError, match="average to 0, but the value is 2e-06"):
        interval(criterion(), [result])


@pytest.mark.parametrize(
    ("fields", "shape", "message"),
    [
        (
            {},
            {},
            r"small-talk \(public, seed 0\): test t: a: expected per-item scores .* found none; pass items=",
        ),
        ({}, {"items": {"a": [1.0, 1.0]}}, "a: per-item scores average to 1, but the value is 3"),
        (
            {"comparison": "difference", "against": "b"},
            {"items": {"a": [3.0, 3.0], "b": [2.0]}},
            "a has 2 items, b has 1 items; expected equal numbers, as items pair",
        ),
        (
            {"comparison": "difference", "against": "b"},
            {"items": {"a": [3.0, 3.0]}},
            "b: expected per-item scores",
        ),
        (
            {"resampling": GROUPS},
            {"items": {"a": [3.0, 3.0]}},
            "a: expected groups of items, found none; pass groups=",
        ),
        (
            {"resampling": GROUPS, "comparison": "difference", "against": "b"},
            {"items": {"a": [3.0, 3.0], "b": [2.0, 2.0]}, "groups": {"a": [1, 2]}},
            "b: expected groups of items, found none",
        ),
        (
            {"resampling": GROUPS, "comparison": "difference", "against": "b"},
            {"items": {"a": [3.0, 3.0], "b": [2.0, 2.0]}, "groups": {"a": [1, 2], "b": [2, 1]}},
            "a and b: expected the same groups",
        ),
        ({}, {"items": {"a": [3.0]}}, "small-talk: test t: .*at least 2 units"),
    ],
)
def test_items_that_cannot_answer_are_refused(make, fields, shape, message):
    with pytest.raises(ClaimsError, match=message):
        interval(criterion(**fields), [make({"a": 3.0, "b": 2.0}, **shape)])


@pytest.mark.parametrize("resampling", [CROSSED, GROUPS])
def test_items_without_any_weight_have_no_mean(make, resampling):
    result = make({"a": 0.0}, items={"a": [1.0, 2.0]}, weights={"a": [0.0, 0.0]}, groups={"a": [1, 2]})
    with pytest.raises(ClaimsError, match="a: per-item scores average to nan, but the value is 0"):
        interval(criterion(resampling=resampling), [result])


def test_crossed_seeds_need_the_same_items(make):
    results = [made(make, {"a": np.arange(size)}, seed) for seed, size in ((4, 5), (6, 5), (9, 7))]
    with pytest.raises(
        ClaimsError,
        match=r"small-talk \(public\): test t: crossed, but seed 4 has 5 items and seed 9 has 7; expected "
        "the same ones in every seed",
    ):
        interval(criterion(), results)
    assert interval(criterion(resampling=NESTED), results).estimate == pytest.approx(np.mean([2, 2, 3]))
    groups = [{"a": [0, 0, 1, 1, 2]}, {"a": [0, 0, 0, 1, 1]}]
    uneven = [made(make, {"a": np.arange(5)}, seed, groups=own) for seed, own in enumerate(groups)]
    with pytest.raises(ClaimsError, match="seed 0 has 3 groups and seed 1 has 2"):
        interval(criterion(resampling=GROUPS), uneven)


def test_crossed_groups_are_told_apart_by_their_labels(make):
    def seeds(*groups):
        return [made(make, {"a": np.arange(4)}, k, groups={"a": own}) for k, own in enumerate(groups)]

    test = criterion(resampling=GROUPS)
    with pytest.raises(ClaimsError, match="seeds 0 and 1 name different groups; expected the same ones"):
        interval(test, seeds([0, 0, 1, 2], [5, 5, 7, 9]))
    assert interval(test, seeds([0, 0, 1, 2], [2, 1, 1, 0])).estimate == 1.5  # in another order
