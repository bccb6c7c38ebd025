"""Verdicts: worked examples of every comparison, rule and combination; loops as oracles; refusals."""

import itertools
from typing import get_args

import numpy as np
import pytest
from scipy import stats

from echobook.metrics.statistics import hierarchical_bootstrap
from echobook.report.claims import Claim, Claims, Printed, Test
from echobook.report.errors import ClaimsError, ResultsError
from echobook.report.measures import seed_value
from echobook.report.verdicts import VERDICTS, Verdict, combine, estimate, judge_claims, measure

PRINTED = Printed(value=None, unit="", text="no figure", source="abstract", provenance="read")
YES = {"all": [{"quantity": "estimate", "is": ">", "value": 0.0}]}
NO = {"any": [{"quantity": "estimate", "is": "<", "value": -1.0}]}


def criterion(**fields):
    plain = {"name": "t", "metric": "a", "comparison": "value", "reproduced": YES, "not_reproduced": NO}
    return Test.model_validate({**plain, **fields})


def claim(*tests, identity="C1", **fields):
    return Claim(
        id=identity,
        statement="s",
        anchor=f"a-{identity.lower()}",
        printed=PRINTED,
        tests=list(tests),
        **fields,
    )


def chapter(*claims):
    return Claims(slug="small-talk", paper="p", claims=list(claims))


def runs(make, *seeds):
    return [make(values, seed=seed) for seed, values in enumerate(seeds)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"comparison": "value"}, 3.0),
        ({"comparison": "difference", "against": "b"}, 1.0),
        ({"comparison": "difference", "against": 2.5}, 0.5),
        ({"comparison": "ratio", "against": "b"}, 1.5),
        ({"comparison": "relative_change", "against": "b"}, 0.5),
        ({"comparison": "relative_change", "against": "c"}, 4.0),  # (3 - -1) / |-1|
        ({"comparison": "equality", "against": "c", "tolerance": 1.0}, 4.0),
        ({"comparison": "order", "metric": ["a", "b", "c"]}, 1.0),  # steps 1 and 3
        ({"comparison": "order", "metric": ["a", "c", "b"]}, -3.0),
    ],
)
def test_comparisons_by_hand(make, fields, expected):
    assert seed_value(criterion(**fields), make({"a": 3.0, "b": 2.0, "c": -1.0})) == expected


@pytest.mark.parametrize(("how", "expected"), [("mean", 3.0), ("median", 2.0), ("min", 1.0), ("max", 6.0)])
def test_aggregates(make, how, expected):
    test = criterion(aggregate=how, interval={"method": "none"})
    assert measure(test, runs(make, {"a": 1.0}, {"a": 2.0}, {"a": 6.0})).estimate == expected


def test_t_interval_and_standard_errors(make):
    outcome = measure(criterion(null_value=1.0), runs(make, {"a": 1.0}, {"a": 2.0}, {"a": 3.0}))
    assert (outcome.estimate, outcome.seeds, outcome.values) == (2.0, (0, 1, 2), (1.0, 2.0, 3.0))
    assert outcome.low == pytest.approx(2 - 4.302653 / 3**0.5, rel=1e-6)
    assert outcome.standard_errors == pytest.approx(3**0.5, rel=1e-12)  # |2 - 1| / (1 / sqrt 3)
    assert outcome.share_of_seeds == pytest.approx(2 / 3)
    assert outcome.unit == "points"


def test_equal_seeds_are_infinitely_many_standard_errors_away(make):
    same = runs(make, {"a": 2.0}, {"a": 2.0})
    assert measure(criterion(), same).standard_errors == float("inf")
    assert measure(criterion(null_value=2.0), same).standard_errors == 0.0


def test_share_within_tolerance(make):
    test = criterion(comparison="equality", against=1.0, tolerance=0.5)
    outcome = measure(test, runs(make, {"a": 1.0}, {"a": 1.5}, {"a": 1.6}, {"a": 0.0}))
    assert outcome.share_of_seeds == 0.5


def test_one_seed_proves_nothing_that_needs_an_interval(make):
    test = criterion(reproduced={"all": [{"quantity": "low", "is": ">", "value": 0.0}]})
    outcome = measure(test, runs(make, {"a": 5.0}))
    assert (outcome.low, outcome.standard_errors, outcome.verdict) == (None, None, "partly reproduced")


def test_bootstrap_over_items_matches_a_loop(make):
    rng = np.random.default_rng(0)
    a, b = rng.uniform(1, 2, 60).round(4), rng.uniform(0, 1, 60).round(4)
    weights = rng.integers(1, 9, 60).astype(float)
    values = {"a": float(a @ weights / weights.sum()), "b": float(b @ weights / weights.sum())}
    result = make(
        values,
        items={"a": a.tolist(), "b": b.tolist()},
        weights={"a": weights.tolist(), "b": weights.tolist()},
    )
    loop, draws = np.random.default_rng(1), []
    for _ in range(4000):
        k = loop.integers(60, size=60)
        draws.append((a[k] @ weights[k]) / (b[k] @ weights[k]))
    rule = {"method": "bootstrap", "over": "items"}
    outcome = measure(criterion(comparison="ratio", against="b", interval=rule), [result])
    assert outcome.estimate == pytest.approx(values["a"] / values["b"], rel=1e-12)
    low, high = np.quantile(draws, [0.025, 0.975])
    slack = 0.12 * float(np.std(draws))  # three times what 4000 draws leave open (0.04 standard deviations)
    assert (outcome.low, outcome.high) == (pytest.approx(low, abs=slack), pytest.approx(high, abs=slack))


@pytest.mark.parametrize("against", ["b", 0.4, -0.4])
@pytest.mark.parametrize("comparison", ["difference", "ratio", "relative_change"])
def test_item_intervals_of_every_comparison_match_a_loop(make, comparison, against):
    rng = np.random.default_rng(6)
    a, b = rng.uniform(1, 2, 40).round(4), rng.uniform(-1, -0.5, 40).round(4)
    result = make({"a": float(a.mean()), "b": float(b.mean())}, items={"a": a.tolist(), "b": b.tolist()})
    loop, draws = np.random.default_rng(7), []
    for _ in range(4000):
        k = loop.integers(40, size=40)
        ours, other = a[k].mean(), b[k].mean() if against == "b" else against
        compared = {
            "difference": ours - other,
            "ratio": ours / other,
            "relative_change": (ours - other) / abs(other),
        }
        draws.append(compared[comparison])
    rule = {"method": "bootstrap", "over": "items"}
    outcome = measure(criterion(comparison=comparison, against=against, interval=rule), [result])
    slack = 0.12 * float(np.std(draws))  # three times what 4000 draws leave open (0.04 standard deviations)
    expected = [pytest.approx(q, abs=slack) for q in np.quantile(draws, [0.025, 0.975])]
    assert [outcome.low, outcome.high] == expected


def test_items_without_any_finite_draw_are_refused(make):
    result = make({"a": 0.0, "b": 1e-300}, items={"a": [1e300, -1e300], "b": [0.0, 0.0]})
    rule = {"method": "bootstrap", "over": "items"}
    with pytest.raises(ClaimsError, match="test t: no resample of the items has a finite ratio"):
        measure(criterion(comparison="ratio", against="b", interval=rule), [result])


@pytest.mark.parametrize("light", ["a", "b"])
def test_draws_of_items_without_weight_are_left_out(make, light):
    # a quarter of all draws hold only the second item, which has no weight under one of the metrics
    weights = {name: [1.0, 0.0 if name == light else 1.0] for name in "ab"}
    scores = {"a": [2.0, 2.0], "b": [1.0, 1.0]}
    result = make({"a": 2.0, "b": 1.0}, items=scores, weights=weights)
    for method in ("bootstrap", "hierarchical"):
        rule = {"method": method, "over": "items"}
        outcome = measure(criterion(comparison="ratio", against="b", interval=rule), [result, result])
        assert (outcome.estimate, outcome.low, outcome.high) == (2.0, 2.0, 2.0)


def test_hierarchical_interval_is_wider_than_pooled_items_when_seeds_differ(make):
    rng = np.random.default_rng(2)
    results = []
    for seed, shift in enumerate((0.0, 1.0, 2.0)):
        items = (shift + 0.01 * rng.normal(size=200)).round(6)
        results.append(make({"a": float(items.mean())}, seed=seed, items={"a": items.tolist()}))
    pooled, nested = (
        measure(criterion(interval={"method": method, "over": "items"}), results)
        for method in ("bootstrap", "hierarchical")
    )
    assert nested.high - nested.low > 3 * (pooled.high - pooled.low)
    assert nested.low == pytest.approx(0.0, abs=0.1)  # three seeds: all-low has probability 1/27 > 0.025
    assert nested.high == pytest.approx(2.0, abs=0.1)


def test_hierarchical_interval_agrees_with_the_kernel(make):
    # a seed drawn twice must bring fresh items each time, else the standard error is 1.22 times too large
    rng = np.random.default_rng(5)
    scores = [(10 + rng.normal(size=80)).round(4) for _ in range(2)]
    results = [make({"a": float(s.mean())}, seed=k, items={"a": s.tolist()}) for k, s in enumerate(scores)]
    outcome = measure(criterion(interval={"method": "hierarchical", "over": "items"}), results)
    expected = hierarchical_bootstrap(scores, seed=0)
    assert outcome.estimate == pytest.approx(expected.estimate, rel=1e-12)
    # two bootstraps of 10,000 draws agree on a standard error to about 1 %
    assert outcome.estimate / outcome.standard_errors == pytest.approx(expected.standard_error, rel=0.05)


def test_groups_are_drawn_together(make):
    groups = np.repeat(np.arange(12), 10)
    items = np.random.default_rng(3).normal(size=12).round(6)[groups]
    result = make({"a": float(items.mean())}, items={"a": items.tolist()}, groups={"a": groups.tolist()})
    single, grouped = (
        measure(criterion(interval={"method": "bootstrap", "over": over}), [result])
        for over in ("items", "groups")
    )
    assert grouped.high - grouped.low > 2 * (single.high - single.low)


def test_measuring_twice_gives_the_same_bits(make):
    items = np.random.default_rng(4).normal(size=50).round(6)
    result = make({"a": float(items.mean())}, items={"a": items.tolist()})
    test = criterion(interval={"method": "bootstrap", "over": "items"})
    assert measure(test, [result]) == measure(test, [result])


def test_verdict_needs_its_rule(make):
    rules = {
        "reproduced": {
            "all": [
                {"quantity": "estimate", "is": ">=", "value": 2.0},
                {"quantity": "seeds", "is": "==", "value": 2.0},
            ]
        },
        "not_reproduced": {"any": [{"quantity": "estimate", "is": "<", "value": 1.0}]},
    }
    test = criterion(**rules)
    assert measure(test, runs(make, {"a": 2.0}, {"a": 2.0})).verdict == "reproduced"
    assert measure(test, runs(make, {"a": 2.0})).verdict == "partly reproduced"
    assert measure(test, runs(make, {"a": 1.0}, {"a": 2.0})).verdict == "partly reproduced"
    assert measure(test, runs(make, {"a": 0.5}, {"a": 1.0})).verdict == "not reproduced"


def test_contradicting_criteria_are_refused(make):
    test = criterion(not_reproduced={"any": [{"quantity": "estimate", "is": ">", "value": 1.0}]})
    with pytest.raises(ClaimsError, match="test t: both"):
        measure(test, runs(make, {"a": 2.0}))


R, P, N = "reproduced", "partly reproduced", "not reproduced"


@pytest.mark.parametrize("verdicts", list(itertools.product([R, P, N], repeat=3)))
def test_combinations_match_their_definition(verdicts):
    tests = [criterion(name=name) for name in "xyz"]
    wins = verdicts.count(R)
    for how, needed in (("all", 3), ("any", 1), ({"at_least": 2}, 2)):
        whole = Claim.model_validate({**claim(*tests).model_dump(by_alias=True), "combine": how})
        expected = R if wins >= needed else N if set(verdicts) == {N} else P
        assert combine(whole, list(verdicts)) == expected
    strict = Claim.model_validate({**claim(*tests).model_dump(by_alias=True), "combine": "worst"})
    assert combine(strict, list(verdicts)) == (N if N in verdicts else P if P in verdicts else R)


def test_holm_is_taken_over_the_chapter(make):
    rule = {"any": [{"quantity": "p_value", "is": "<", "value": 0.05}]}
    items = {
        "a": (np.arange(1, 7) + 0.5).tolist(),  # all six above 0: p = 2/64
        "b": [1.0, 2.0, 3.0, 4.0, 5.0, -0.5],  # one against: p = 4/64
    }
    result = make({name: float(np.mean(scores)) for name, scores in items.items()}, items=items)
    p = {"method": "permutation", "over": "items"}
    first = claim(criterion(reproduced=rule, p_value=p))
    second = claim(criterion(metric="b", reproduced=rule, p_value=p), identity="C2")
    third = claim(criterion(), identity="C3")
    alone = judge_claims(chapter(first), [result])
    together = judge_claims(chapter(first, second, third), [result])
    assert alone[0].tests[0].p_value == pytest.approx(2 / 64)
    assert alone[0].verdict == "reproduced"
    assert [outcome.tests[0].p_value for outcome in together] == [
        pytest.approx(4 / 64),
        pytest.approx(4 / 64),
        None,
    ]
    assert together[0].verdict == "partly reproduced"


def test_p_value_over_seeds_matches_a_loop_and_scipy(make):
    rule = {"any": [{"quantity": "p_value", "is": "<", "value": 0.05}]}
    values = np.array([1.2, 0.7, 1.9, 2.1, 1.4])
    results = runs(make, *({"a": float(value)} for value in values))
    sums = np.array([np.dot(signs, values - 1) for signs in itertools.product([1, -1], repeat=5)])
    flips = float(np.mean(np.abs(sums) >= abs((values - 1).sum()) - 1e-12))
    for method, expected in (("sign", stats.binomtest(4, 5, 0.5).pvalue), ("permutation", flips)):
        test = criterion(reproduced=rule, p_value={"method": method}, null_value=1.0)
        [outcome] = judge_claims(chapter(claim(test)), results)
        assert outcome.tests[0].p_value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("fields", "other"),
    [
        ({"comparison": "value", "null_value": 0.3}, 0.3),
        ({"comparison": "difference", "against": 0.2, "null_value": 0.1}, 0.2 + 0.1),
        ({"comparison": "difference", "against": "b"}, [0.1, 0.6, 0.2, 0.7, 0.9, 0.1]),
        ({"comparison": "difference", "against": "b", "null_value": 0.1}, [0.2, 0.7, 0.3, 0.8, 1.0, 0.2]),
    ],
)
def test_p_value_over_items_matches_all_sign_flips(make, fields, other):
    scores = {"a": [0.9, 0.5, 0.8, 0.4, 0.7, 0.6], "b": [0.1, 0.6, 0.2, 0.7, 0.9, 0.1]}
    result = make({name: float(np.mean(own)) for name, own in scores.items()}, items=scores)
    gaps = np.array(scores["a"]) - other
    sums = np.array([np.dot(signs, gaps) for signs in itertools.product([1, -1], repeat=6)])
    expected = float(np.mean(np.abs(sums) >= abs(gaps.sum()) - 1e-12))
    rule = {"any": [{"quantity": "p_value", "is": "<", "value": 0.05}]}
    test = criterion(reproduced=rule, p_value={"method": "permutation", "over": "items"}, **fields)
    [outcome] = judge_claims(chapter(claim(test)), [result])
    assert outcome.tests[0].p_value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("fields", "items", "message"),
    [
        ({"comparison": "ratio", "against": "b"}, {"a": [3.0], "b": [2.0]}, "for value and difference only"),
        ({"comparison": "difference", "against": "b"}, {"a": [3.0, 3.0], "b": [2.0]}, "unequal numbers of"),
    ],
)
def test_p_values_over_items_that_do_not_exist_are_refused(make, fields, items, message):
    rule = {"any": [{"quantity": "p_value", "is": "<", "value": 0.05}]}
    test = criterion(reproduced=rule, p_value={"method": "sign", "over": "items"}, **fields)
    with pytest.raises(ClaimsError, match=message):
        judge_claims(chapter(claim(test)), [make({"a": 3.0, "b": 2.0}, items=items)])


def test_without_results_nothing_is_judged(make):
    closed = claim(identity="C2", not_testable="not public")
    outcomes = judge_claims(chapter(claim(criterion()), closed), [])
    assert [outcome.verdict for outcome in outcomes] == ["not yet recorded", "not testable here"]
    outcomes = judge_claims(chapter(claim(criterion()), closed), [make({"a": 1.0})])
    assert [outcome.verdict for outcome in outcomes] == ["reproduced", "not testable here"]


@pytest.mark.parametrize("over", ["seeds", "items"])
def test_without_results_a_criterion_on_a_p_value_waits_too(over):
    rule = {"any": [{"quantity": "p_value", "is": "<", "value": 0.05}]}
    asked = claim(criterion(reproduced=rule, p_value={"method": "sign", "over": over}))
    assert [outcome.verdict for outcome in judge_claims(chapter(asked), [])] == ["not yet recorded"]


def test_estimate_over_seeds(make):
    found = estimate(runs(make, {"a": 1.0}, {"a": 3.0}), "a")
    assert (found.mean, found.seeds, found.values, found.unit) == (2.0, (0, 1), (1.0, 3.0), "points")
    assert found.high - found.mean == pytest.approx(12.7062047, rel=1e-6)  # t(1; 0.975), standard error 1
    assert estimate(runs(make, {"a": 1.0}), "a").low is None
    assert estimate([], "a") is None


@pytest.mark.parametrize(
    ("fields", "items", "message"),
    [
        ({}, {}, "needs per-item scores; pass items="),
        ({}, {"a": [1.0, 1.0], "b": [2.0, 2.0]}, "a: per-item scores average to 1, but the value is 3"),
        (
            {"comparison": "difference", "against": "b"},
            {"a": [3.0, 3.0], "b": [2.0]},
            "unequal numbers of items",
        ),
        (
            {"interval": {"method": "bootstrap", "over": "groups"}},
            {"a": [3.0]},
            "a has no groups; pass groups=",
        ),
    ],
)
def test_items_that_cannot_answer_are_refused(make, fields, items, message):
    test = criterion(**{"interval": {"method": "bootstrap", "over": "items"}, **fields})
    with pytest.raises(ClaimsError, match=message):
        measure(test, [make({"a": 3.0, "b": 2.0}, items=items)])


@pytest.mark.parametrize("over", ["items", "groups"])
def test_items_without_any_weight_have_no_mean(make, over):
    result = make({"a": 0.0}, items={"a": [1.0, 2.0]}, weights={"a": [0.0, 0.0]}, groups={"a": [1, 2]})
    with pytest.raises(ClaimsError, match="a: per-item scores average to nan, but the value is 0"):
        measure(criterion(interval={"method": "bootstrap", "over": over}), [result])


@pytest.mark.parametrize(
    ("comparison", "unit"),
    [("ratio", ""), ("relative_change", ""), ("difference", "points"), ("equality", "points")],
)
def test_only_comparisons_that_keep_the_unit_show_it(make, comparison, unit):
    fields = {"tolerance": 1.0} if comparison == "equality" else {}
    test = criterion(comparison=comparison, against="b", **fields)
    assert measure(test, runs(make, {"a": 3.0, "b": 2.0})).unit == unit


@pytest.mark.parametrize("relation", ["<", "<=", ">", ">=", "=="])
def test_conditions_at_their_limit(make, relation):
    [result] = runs(make, {"a": 2.0})
    for value, expected in (
        (1.0, relation in (">", ">=")),
        (3.0, relation in ("<", "<=")),
        (2.0, "=" in relation),
    ):
        rule = {"all": [{"quantity": "estimate", "is": relation, "value": value}]}
        never = {"all": [{"quantity": "seeds", "is": "<", "value": 0}]}
        outcome = measure(criterion(reproduced=rule, not_reproduced=never), [result])
        assert outcome.verdict == ("reproduced" if expected else "partly reproduced")


@pytest.mark.parametrize("quantity", ["low", "high", "standard_errors", "p_value"])
@pytest.mark.parametrize("relation", ["<", ">", "=="])
def test_a_quantity_that_cannot_be_computed_decides_nothing(make, quantity, relation):
    rule = {"any": [{"quantity": quantity, "is": relation, "value": 0.0}]}
    never = {"all": [{"quantity": "seeds", "is": "<", "value": 0}]}
    [result] = runs(make, {"a": 2.0})
    for fields in (
        {"reproduced": rule, "not_reproduced": never},
        {"reproduced": never, "not_reproduced": rule},
    ):
        outcome = measure(criterion(**fields, interval={"method": "none"}), [result])
        assert (getattr(outcome, quantity), outcome.verdict) == (None, "partly reproduced")


def test_all_and_any_of_a_rule(make):
    hit, miss = ({"quantity": "estimate", "is": ">", "value": value} for value in (1.0, 3.0))
    never = {"all": [{"quantity": "seeds", "is": "<", "value": 0}]}
    found = {
        (kind, len(conditions)): measure(
            criterion(reproduced={kind: conditions}, not_reproduced=never), runs(make, {"a": 2.0})
        ).verdict
        for kind in ("all", "any")
        for conditions in ([hit], [hit, miss])
    }
    assert found == {
        ("all", 1): "reproduced",
        ("all", 2): "partly reproduced",
        ("any", 1): "reproduced",
        ("any", 2): "reproduced",
    }


def test_every_verdict_is_listed_once():
    assert sorted(VERDICTS) == sorted(get_args(Verdict))


def test_division_by_zero_and_missing_metric_are_refused(make):
    with pytest.raises(ClaimsError, match="test t: ratio against b, which is 0"):
        measure(criterion(comparison="ratio", against="b"), [make({"a": 1.0, "b": 0.0})])
    with pytest.raises(ResultsError, match="no metric 'a'; known: b"):
        measure(criterion(), [make({"b": 1.0})])
