"""Decisions and verdicts: worked examples, all combinations against their definition, refusals."""

import itertools
from typing import get_args

import numpy as np
import pytest

from echobook.report.claims import Check, CheckTest, Claims, Finding, Test, parse_claims
from echobook.report.errors import ClaimsError, ResultsError
from echobook.report.verdicts import (
    VERDICTS,
    Decision,
    TestOutcome,
    Verdict,
    combine,
    decide,
    estimate,
    judge_checks,
    judge_finding,
    judge_findings,
    measure,
)

H, S, F, U = get_args(Decision)
R, P, N, UNDECIDED, CLOSED, PENDING = VERDICTS
PRINTED = {"value": None, "unit": "", "text": "none", "source": "abstract", "provenance": "read"}


def criterion(**fields):
    plain = {
        "name": "t",
        "words": "the score",
        "metric": "a",
        "comparison": "value",
        "unit": "points",
        "direction": "above",
        "bound": 0.0,
        "smallest_effect": 1.0,
        "resampling": {"unit": "seeds"},
        "differs": "one thing",
        "otherwise": "nothing",
    }
    return Test.model_validate({**plain, **fields})


def within(low, high, **fields):
    return criterion(direction="within", bound=[low, high], smallest_effect=None, **fields)


def finding(*tests, identity="C1", **fields):
    shape = {"statement": "s", "anchor": f"a-{identity.lower()}", "origin": "ours", "printed": PRINTED}
    listed = [test.model_dump() for test in tests]
    return Finding.model_validate({"id": identity, **shape, "tests": listed, **fields})


def limit(**fields):
    plain = {"name": "t", "words": "w", "metric": "a", "comparison": "value", "unit": ""}
    return CheckTest.model_validate({**plain, **fields})


def check(*tests, identity="K1"):
    return Check(id=identity, statement="s", anchor=f"a-{identity.lower()}", tests=list(tests))


def runs(make, *values):
    """One run a seed; the metric a has the value given."""
    return [make({"a": float(value)}, seed=seed) for seed, value in enumerate(values)]


@pytest.fixture
def chapter(claims_text):
    """Make the claims of a chapter of findings and checks."""
    whole = parse_claims(claims_text, "x.yml")

    def made(findings=(), checks=()) -> Claims:
        return whole.model_copy(update={"findings": list(findings), "checks": list(checks)})

    return made


@pytest.mark.parametrize(
    ("low", "high", "decision"),
    [
        (0.1, 2.0, H),
        (0.0, 2.0, U),  # the bound itself is not beyond it
        (0.1, 0.9, S),
        (0.1, 1.0, H),  # the smallest effect itself is not short of it
        (-0.5, 0.9, F),
        (-0.5, 1.0, U),
        (-0.5, -0.1, F),
        (-0.5, 1.5, U),
        (1.5, 2.0, H),
        (0.0, 0.0, F),
    ],
)
def test_decisions_above_and_below_are_mirror_images(low, high, decision):
    assert decide(criterion(), low, high) == decision
    mirrored = criterion(direction="below", bound=-0.0, smallest_effect=-1.0)
    assert decide(mirrored, -high, -low) == decision


@pytest.mark.parametrize(
    ("low", "high", "decision"),
    [
        *[(-0.1, 0.1, H), (-0.2, 0.0, U), (0.0, 0.2, U), (-0.3, 0.3, U), (-0.3, -0.2, U), (0.2, 0.3, U)],
        *[(-0.4, -0.21, F), (0.21, 0.4, F), (-0.19, 0.19, H), (-0.3, 0.0, U), (0.0, 0.3, U)],
    ],
)
def test_decisions_within_a_pair_of_bounds(low, high, decision):
    assert decide(within(-0.2, 0.2), low, high) == decision


@pytest.mark.parametrize(
    ("low", "high", "decision"),
    [(-0.04, 0.1, H), (-0.2, -0.06, F), (-0.06, 0.1, U), (-0.05, 0.1, U), (-0.2, -0.05, U), (0.2, 0.3, H)],
)
def test_no_worse_than_holds_or_fails_at_its_margin_and_is_never_both(low, high, decision):
    assert decide(criterion(bound=-0.05, smallest_effect=-0.05), low, high) == decision


@pytest.mark.parametrize("test", [criterion(), within(-1, 1)])
def test_without_an_interval_nothing_is_decided(test):
    assert decide(test, None, None) == decide(test, 5.0, None) == decide(test, None, -5.0) == U


@pytest.mark.parametrize("decisions", list(itertools.product([H, S, F, U], repeat=3)))
def test_verdicts_match_their_definition(decisions):
    tests = [criterion(name=name) for name in "xyz"]
    kinds = set(decisions)
    expected = R if kinds == {H} else N if kinds == {F} else UNDECIDED if U in kinds else P
    assert combine(finding(*tests), list(decisions)) == expected
    stands = finding(*tests, stands_on=["y"])
    assert combine(stands, list(decisions)) == (N if decisions[1] == F else expected)
    either = finding(*tests, combine="any")
    assert combine(either, list(decisions)) == (R if H in kinds else expected)


def test_outcome_of_a_test_over_seeds(make):
    results = runs(make, 1.0, 3.0, 2.0)
    outcome = measure(criterion(paper_effect=4.0), results)
    assert (outcome.estimate, outcome.seeds, outcome.values) == (2.0, (0, 1, 2), (1.0, 3.0, 2.0))
    half = 4.302652729749464 / 3**0.5  # t(2; .975), standard deviation 1
    assert outcome.low == pytest.approx(2 - half, rel=1e-12)
    assert outcome.high == pytest.approx(2 + half, rel=1e-12)
    assert (outcome.decision, outcome.effect_ratio) == (U, 0.5)
    assert (outcome.name, outcome.words, outcome.unit) == ("t", "the score", "points")


def test_one_seed_has_no_interval_and_decides_nothing(make):
    outcome = measure(criterion(), runs(make, 100.0))
    assert (outcome.low, outcome.high, outcome.decision) == (None, None, U)
    items = [5.0, 6.0, 7.0, 6.0]
    over = criterion(resampling={"unit": "items", "seeds": "crossed"})
    [result] = [make({"a": 6.0}, items={"a": items})]
    assert measure(over, [result]).decision == H  # items of one seed do have one


@pytest.mark.parametrize(
    ("fields", "paper", "ratio"),
    [
        ({}, 4.0, 0.5),
        ({}, -1.0, -2.0),
        ({}, None, None),
        ({}, 0.0, None),  # the paper saw no effect: no ratio
        ({"comparison": "ratio", "against": 2.0}, 5.0, 0.25),  # 2 against 5, both less 1
        ({"comparison": "ratio", "against": 2.0}, 1.0, None),
    ],
)
def test_effect_ratio(fields, paper, ratio):
    test = criterion(paper_effect=paper, **fields)
    assert TestOutcome(test, 2.0, None, None, (0,), (2.0,), U).effect_ratio == ratio


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((2.0, 2.1, 1.9), R),
        ((0.5, 0.51, 0.49), P),
        ((-1.0, -1.1, -0.9), N),
        ((-1.0, 3.0, 0.5), UNDECIDED),
        ((2.0,), UNDECIDED),
        ((), PENDING),
    ],
)
def test_verdict_of_a_finding(make, chapter, values, verdict):
    claims = chapter([finding(criterion()), finding(identity="C2", not_testable="not public")])
    first, second = judge_findings(claims, runs(make, *values))
    assert (first.verdict, first.finding.id, len(first.tests)) == (verdict, "C1", 1 if values else 0)
    assert (second.verdict, second.tests) == (CLOSED, ())


def test_each_test_of_a_finding_is_decided_for_itself(make):
    both = finding(criterion(name="low"), criterion(name="high", bound=9.0, smallest_effect=10.0))
    outcome = judge_finding(both, runs(make, 2.0, 2.1, 1.9))
    assert ([test.decision for test in outcome.tests], outcome.verdict) == ([H, F], P)
    strict = both.model_copy(update={"stands_on": ["high"]})
    assert judge_finding(strict, runs(make, 2.0, 2.1, 1.9)).verdict == N


def spread(make, **centres):
    """Three seeds whose values of each metric are its centre -1, 0, +1: half-width 4.303 / sqrt(3)."""
    return [
        make({name: centre + step for name, centre in centres.items()}, seed=seed)
        for seed, step in enumerate((-1.0, 0.0, 1.0))
    ]


def test_any_takes_more_for_one_of_several_tests(make):
    # With three seeds the half-width is 2.484 at level .95, 3.581 at 1 - .05/2 and 4.417 at 1 - .05/3.
    def names(kind, *others):
        tests = [criterion(name=name, metric=name) for name in ("a", *others)]
        return finding(*tests, combine=kind)

    alone = judge_finding(names("any"), spread(make, a=3.0))
    assert (alone.verdict, alone.tests[0].decision) == (R, H)
    two = judge_finding(names("any", "b"), spread(make, a=3.0, b=0.0))
    assert (two.verdict, [test.decision for test in two.tests]) == (UNDECIDED, [U, U])
    assert two.tests[0].low == pytest.approx(3 - 2.484, abs=1e-3)  # shown at its own level
    assert judge_finding(names("any", "b"), spread(make, a=4.0, b=0.0)).verdict == R
    assert judge_finding(names("any", "b", "c"), spread(make, a=4.0, b=0.0, c=0.0)).verdict == UNDECIDED
    assert judge_finding(names("any", "b", "c"), spread(make, a=4.5, b=0.0, c=0.0)).verdict == R


def test_any_steps_down_once_a_test_holds(make):
    tests = [criterion(name=name, metric=name) for name in "ab"]
    outcome = judge_finding(finding(*tests, combine="any"), spread(make, a=4.0, b=3.0))
    assert [test.decision for test in outcome.tests] == [H, H]  # b alone is left, at level .95


def test_any_takes_back_only_what_had_held(make):
    tests = [
        criterion(name="a", metric="a", smallest_effect=9.0),  # holds, smaller, before the correction
        criterion(name="b", metric="b"),
    ]
    low = judge_finding(finding(*tests, combine="any"), spread(make, a=3.0, b=-9.0))
    assert ([test.decision for test in low.tests], low.verdict) == ([F, F], N)
    more = judge_finding(finding(*tests, combine="any"), spread(make, a=4.0, b=-9.0))
    assert ([test.decision for test in more.tests], more.verdict) == ([S, F], P)


@pytest.mark.parametrize("relation", ["<", "<=", ">", ">=", "=="])
def test_checks_at_their_limit(make, chapter, relation):
    results = runs(make, 2.0)
    for value, expected in (
        (1.0, relation in (">", ">=")),
        (3.0, relation in ("<", "<=")),
        (2.0, "=" in relation),
    ):
        [outcome] = judge_checks(chapter(checks=[check(limit(**{"is": relation, "value": value}))]), results)
        assert outcome.passed is expected


@pytest.mark.parametrize(
    ("relation", "worst", "passed"),
    [("<", 3.0, False), ("<=", 3.0, False), (">", -1.0, False), (">=", -1.0, False), ("==", -1.0, False)],
)
def test_a_check_must_pass_in_every_seed_and_shows_the_worst(make, chapter, relation, worst, passed):
    checks = [check(limit(**{"is": relation, "value": 1.5}))]
    [outcome] = judge_checks(chapter(checks=checks), runs(make, 2.0, 3.0, -1.0, 1.0))
    [test] = outcome.tests
    assert (outcome.passed, test.passed, test.worst, test.seeds) == (passed, passed, worst, (0, 1, 2, 3))


def test_all_tests_of_a_check_must_pass(make, chapter):
    good, bad = (limit(name=name, **{"is": "<", "value": top}) for name, top in (("good", 9.0), ("bad", 1.0)))
    equal = limit(name="equal", comparison="equality", against=2.5, tolerance=0.5)
    checks = [check(good, equal), check(good, bad, identity="K2")]
    first, second = judge_checks(chapter(checks=checks), runs(make, 2.0, 3.0))
    assert (first.passed, second.passed, first.tests[1].worst) == (True, False, 0.5)
    assert [test.passed for test in second.tests] == [True, False]
    assert [(one.passed, one.tests) for one in judge_checks(chapter(checks=checks), [])] == [(None, ())] * 2


def test_estimate_over_seeds(make):
    found = estimate(runs(make, 1.0, 3.0), "a")
    assert (found.mean, found.seeds, found.values, found.unit) == (2.0, (0, 1), (1.0, 3.0), "points")
    assert found.high - found.mean == pytest.approx(12.7062047, rel=1e-6)  # t(1; 0.975), standard error 1
    assert found.mean - found.low == pytest.approx(12.7062047, rel=1e-6)
    assert estimate(runs(make, 1.0), "a").low is None
    assert estimate([], "a") is None


def test_every_verdict_is_listed_once():
    assert sorted(VERDICTS) == sorted(get_args(Verdict))


def test_what_cannot_be_judged_names_chapter_statement_and_test(make, chapter):
    over = criterion(resampling={"unit": "items", "seeds": "crossed"})
    with pytest.raises(ClaimsError, match=r"^small-talk: finding C1: .*test t: a: expected per-item scores"):
        judge_findings(chapter([finding(over)]), runs(make, 1.0, 2.0))
    with pytest.raises(ResultsError, match=r"^small-talk: finding C1: .*no metric 'b'; known: a"):
        judge_findings(chapter([finding(criterion(metric="b"))]), runs(make, 1.0, 2.0))
    with pytest.raises(ResultsError, match=r"^small-talk: check K1: .*no metric 'b'; known: a"):
        judge_checks(chapter(checks=[check(limit(metric="b", **{"is": "<", "value": 1.0}))]), runs(make, 1.0))


def simulated(make, rng, truth, seeds=4, items=40):
    """Runs that share their items: the score of an item is truth, what the seed does, the item, and noise."""
    shared = rng.normal(size=items)
    tables = [truth + 0.3 * rng.normal() + shared + rng.normal(size=items) for _ in range(seeds)]
    return [
        make({"a": float(table.mean())}, seed=seed, items={"a": table.tolist()})
        for seed, table in enumerate(tables)
    ]


@pytest.mark.parametrize(("truth", "wrong"), [(0.0, (R, P)), (0.7, (N, P))])
def test_rate_of_wrong_verdicts_at_the_bound_and_at_the_smallest_effect(make, truth, wrong):
    # At the bound, holding is wrong; at the smallest effect, failing is. Each is one tail: 2.5 %.
    trials, rng = 400, np.random.default_rng(11)
    over = criterion(smallest_effect=0.7, resampling={"unit": "items", "seeds": "crossed"})
    found = [judge_finding(finding(over), simulated(make, rng, truth)).verdict for _ in range(trials)]
    rate = sum(verdict in wrong for verdict in found) / trials
    assert rate <= 0.025 + 3 * (0.025 * 0.975 / trials) ** 0.5
