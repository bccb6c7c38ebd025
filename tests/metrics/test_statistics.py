"""Statistics: worked examples, scipy and statsmodels as oracles, properties, simulated nulls, refusals."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from echobook.metrics.statistics import (
    bootstrap_aggregate,
    bootstrap_mean,
    hierarchical_bootstrap,
    holm,
    mean_interval_t,
    paired_bootstrap,
    permutation_test,
    resampled_sums,
    sign_test,
    sum_by_group,
)

SCORES = st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=2, max_size=8)


# literals


def test_t_interval_by_hand():
    # values 1, 2, 3: mean 2, s = 1, standard error 1/sqrt(3), t(2; 0.975) = 4.302653 from a printed table
    interval = mean_interval_t([1.0, 2.0, 3.0])
    assert interval.estimate == 2.0
    assert interval.standard_error == pytest.approx(1 / math.sqrt(3), rel=1e-12)
    assert interval.high - interval.estimate == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert interval.estimate - interval.low == pytest.approx(interval.high - interval.estimate, rel=1e-12)


def test_five_wins_of_five_by_hand():
    # only all-plus and all-minus are as extreme: 2 of 32 sign vectors, two-sided
    a, b = [2.0, 3.0, 4.0, 5.0, 6.0], [1.0] * 5
    assert permutation_test(a, b) == 2 / 32
    assert permutation_test(a, b, alternative="greater") == 1 / 32
    assert permutation_test(a, b, alternative="less") == 1.0
    assert sign_test(a, b) == pytest.approx(2 / 32, rel=1e-12)


def test_sign_test_drops_ties():
    # three wins, one loss, two ties: P(X >= 3 or X <= 1 | n = 4) = 10/16
    assert sign_test([1, 1, 1, 0, 5, 5], [0, 0, 0, 1, 5, 5]) == pytest.approx(10 / 16, rel=1e-12)
    assert sign_test([1.0, 1.0], [1.0, 1.0]) == 1.0


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.04 times 3, 2, 1 = 0.03, 0.04, 0.04
    assert holm([0.04, 0.01, 0.02]).tolist() == pytest.approx([0.04, 0.03, 0.04], rel=1e-12)
    assert holm([]).tolist() == []
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]


def test_weights_make_the_corpus_rate():
    # two utterances of 1 and 9 words with error rates 1 and 0: corpus rate 1/10, not 1/2
    assert bootstrap_mean([1.0, 0.0], seed=0, weights=[1.0, 9.0]).estimate == pytest.approx(0.1, rel=1e-12)


def test_constant_scores_have_no_width():
    interval = paired_bootstrap(np.full(20, 0.75), np.full(20, 0.5), seed=3)
    assert (interval.estimate, interval.low, interval.high) == (0.25, 0.25, 0.25)
    assert interval.standard_error == 0.0


def test_level_and_standard_error_of_the_draws_are_exact():
    # the same draws once more: quantiles at both tails, and the standard deviation with R - 1
    scores = np.random.default_rng(0).normal(size=12)
    sums = resampled_sums(
        np.stack([scores, np.ones(12)], axis=1), rng=np.random.default_rng(7), resamples=100
    )
    draws = sums[:, 0] / sums[:, 1]
    found = bootstrap_mean(scores, seed=7, resamples=100, level=0.8)
    assert (found.low, found.high) == tuple(np.quantile(draws, [0.1, 0.9]))
    assert found.standard_error == pytest.approx(math.sqrt(((draws - draws.mean()) ** 2).sum() / 99))
    assert found.level == 0.8


def test_draws_are_of_whole_rows():
    # the second column is the square of the first, and single units are drawn: pairs stay together
    drawn = resampled_sums(np.array([[3.0, 9.0]]), rng=np.random.default_rng(0), resamples=5)
    np.testing.assert_array_equal(drawn, [[3.0, 9.0]] * 5)
    pairs = np.array([[1.0, 10.0], [2.0, 20.0], [8.0, 80.0]])
    drawn = resampled_sums(pairs, rng=np.random.default_rng(1), resamples=200)
    np.testing.assert_array_equal(drawn[:, 1], 10 * drawn[:, 0])
    assert len(np.unique(drawn[:, 0])) == 10  # three units out of three: all ten sums turn up


def test_a_draw_without_weight_is_left_out():
    # one of two items has no weight: a quarter of the draws takes it twice and has no mean
    found = bootstrap_mean([5.0, 3.0], seed=0, weights=[0.0, 2.0], resamples=100)
    assert (found.estimate, found.low, found.high) == (3.0, 3.0, 3.0)


def test_the_number_of_pairs_decides_between_all_flips_and_a_sample_of_them():
    d = np.random.default_rng(5).normal(0.2, 1, 13)
    exact = permutation_test(d[:12], np.zeros(12)) * 2**12
    assert exact == round(exact)  # all 4,096
    signs = np.array(list(itertools.product([1.0, -1.0], repeat=12)))
    assert exact == np.sum(np.abs(signs @ d[:12]) >= abs(d[:12].sum()) - 1e-12)
    sampled = permutation_test(d, np.zeros(13), resamples=1000) * 1001
    assert sampled == pytest.approx(round(sampled), abs=1e-9)  # 1 + hits of 1 + 1,000
    assert permutation_test(d, np.zeros(13), resamples=1000, seed=1) * 1001 != sampled


def test_flips_that_only_rounding_tells_apart_are_ties():
    # .1 + .2 - .3 is 5.6e-17, not 0: all eight sums of these are ties of one of 0, .2, .4, .6
    a = [0.1, 0.2, -0.3]
    assert permutation_test(a, [0.0] * 3) == 1.0
    assert permutation_test(a, [0.0] * 3, alternative="greater") == 5 / 8
    assert permutation_test(a, [0.0] * 3, alternative="less") == 5 / 8


def test_a_median_of_seeds_by_enumeration():
    # two seeds: the draws are both, or either one twice; a quarter of the draws at each end
    low = bootstrap_aggregate([1.0, 3.0], "median", seed=0, level=0.6)
    assert (low.estimate, low.low, low.high) == (2.0, 1.0, 3.0)
    inner = bootstrap_aggregate([1.0, 3.0], "mean", seed=0, level=0.4)
    assert (inner.low, inner.high) == (2.0, 2.0)
    assert inner.standard_error == pytest.approx(math.sqrt(0.5), rel=0.03)


# oracles


def test_t_interval_matches_scipy():
    rng = np.random.default_rng(0)
    for n in (2, 3, 5, 40):
        values = rng.normal(size=n)
        expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
        ours = mean_interval_t(values, level=0.9)
        assert (ours.low, ours.high) == pytest.approx((expected.low, expected.high), rel=1e-10)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_exact_flips_match_enumeration_and_scipy(alternative):
    rng = np.random.default_rng(1)
    for n in range(2, 9):
        a, b = rng.normal(0.3, 1, n), rng.normal(size=n)
        d = a - b
        sums = np.array([np.dot(signs, d) for signs in itertools.product([1, -1], repeat=n)])
        seen, slack = d.sum(), 1e-12
        extreme = {
            "greater": sums >= seen - slack,
            "less": sums <= seen + slack,
            "two-sided": np.abs(sums) >= abs(seen) - slack,
        }[alternative]
        ours = permutation_test(a, b, alternative=alternative)
        assert ours == extreme.mean()
        theirs = stats.permutation_test(
            (a, b),
            lambda x, y, axis: np.mean(x - y, axis=axis),
            permutation_type="samples",
            alternative=alternative,
            vectorized=True,
        )
        assert ours == pytest.approx(theirs.pvalue, abs=1e-12)


def test_monte_carlo_flips_are_close_to_exact_ones():
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.5, 1, 13), rng.normal(size=13)
    d = a - b
    signs = np.array(list(itertools.product([1.0, -1.0], repeat=13)))
    exact = float(np.mean(np.abs(signs @ d) >= abs(d.sum()) - 1e-12))
    # standard deviation of the Monte Carlo share is at most 0.5 / sqrt(20000) = 0.0035; five of them
    assert permutation_test(a, b, resamples=20_000) == pytest.approx(exact, abs=0.018)


def test_monte_carlo_p_value_is_never_zero():
    # forty wins of forty: no random flip of signs is as extreme, which leaves the run itself, 1 of 1 + 999
    assert permutation_test(np.arange(1.0, 41.0), np.zeros(40), resamples=999) == 1 / 1000


def test_sign_test_matches_statsmodels():
    from statsmodels.stats.descriptivestats import sign_test as theirs

    rng = np.random.default_rng(3)
    for _ in range(10):
        a, b = rng.integers(0, 4, 15).astype(float), rng.integers(0, 4, 15).astype(float)
        assert sign_test(a, b) == pytest.approx(theirs(a - b)[1], abs=1e-12)


def test_holm_matches_statsmodels():
    rng = np.random.default_rng(4)
    for n in (1, 2, 7, 30):
        p = rng.uniform(size=n) ** 2
        np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], rtol=1e-12)


def test_bootstrap_matches_scipy_and_the_normal_theory():
    rng = np.random.default_rng(5)
    a, b = rng.normal(1.0, 1, 300), rng.normal(size=300)
    ours = paired_bootstrap(a, b, seed=0)
    theirs = stats.bootstrap(
        (a - b,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(9)
    )
    # both ends are Monte Carlo quantiles: their own error is about 3 % of the standard error; ten times that
    slack = 0.3 * ours.standard_error
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=slack)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=slack)
    assert ours.standard_error == pytest.approx(np.std(a - b) / math.sqrt(300), rel=0.05)


def test_grouped_bootstrap_matches_a_loop():
    rng = np.random.default_rng(6)
    groups = rng.integers(0, 6, 40)
    scores = rng.normal(size=40) + groups
    loop = np.random.default_rng(7)
    names = np.unique(groups)
    draws = []
    for _ in range(4000):
        picked = np.concatenate([scores[groups == name] for name in loop.choice(names, len(names))])
        draws.append(picked.mean())
    ours = bootstrap_mean(scores, seed=0, groups=groups)
    assert ours.estimate == pytest.approx(scores.mean(), rel=1e-12)
    # ends of six coarse groups move by about 0.05 between seeds
    assert (ours.low, ours.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.12)


def test_hierarchical_bootstrap_matches_a_loop():
    rng = np.random.default_rng(8)
    seeds = [rng.normal(mean, 1, n) for mean, n in ((0.0, 30), (1.0, 50), (2.0, 20), (0.5, 40))]
    loop = np.random.default_rng(9)
    draws = []
    for _ in range(4000):
        chosen = loop.integers(4, size=4)
        draws.append(np.mean([loop.choice(seeds[k], len(seeds[k])).mean() for k in chosen]))
    ours = hierarchical_bootstrap(seeds, seed=0)
    assert ours.estimate == pytest.approx(np.mean([s.mean() for s in seeds]), rel=1e-12)
    assert ours.standard_error == pytest.approx(np.std(draws), rel=0.08)
    assert (ours.low, ours.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.08)


def test_hierarchical_bootstrap_weighs_and_groups_like_a_loop():
    rng = np.random.default_rng(11)
    seeds = [rng.normal(mean, 1, 24) for mean in (0.0, 1.0, 0.5)]
    weights = [rng.integers(1, 9, 24).astype(float) for _ in seeds]
    groups = [np.repeat(np.arange(6), 4) + 10 * k for k in range(3)]
    loop, draws = np.random.default_rng(12), []
    for _ in range(3000):
        means = []
        for k in loop.integers(3, size=3):
            picked = np.concatenate(
                [np.flatnonzero(groups[k] == g) for g in loop.choice(np.unique(groups[k]), 6)]
            )
            means.append(np.average(seeds[k][picked], weights=weights[k][picked]))
        draws.append(np.mean(means))
    ours = hierarchical_bootstrap(seeds, seed=0, weights=weights, groups=groups)
    expected = np.mean([np.average(s, weights=w) for s, w in zip(seeds, weights, strict=True)])
    assert ours.estimate == pytest.approx(expected, rel=1e-12)
    assert ours.standard_error == pytest.approx(np.std(draws), rel=0.08)
    assert (ours.low, ours.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.08)


def test_the_smallest_inputs_are_served():
    assert bootstrap_mean([2.0], seed=0, resamples=100).estimate == 2.0
    assert hierarchical_bootstrap([[1.0], [3.0]], seed=0, resamples=100).estimate == 2.0
    assert bootstrap_aggregate([1.0, 3.0], "max", seed=0, resamples=100).high == 3.0
    assert mean_interval_t([1.0, 3.0]).estimate == 2.0
    assert holm([0.0, 1.0]).tolist() == [0.0, 1.0]
    assert sign_test([2.0], [1.0]) == 1.0


def test_sums_by_group_match_a_loop():
    columns = np.arange(10.0).reshape(5, 2)
    summed = sum_by_group(columns, [2, 1, 2, 1, 1])
    np.testing.assert_array_equal(summed, [columns[[1, 3, 4]].sum(0), columns[[0, 2]].sum(0)])
    assert sum_by_group(columns, None) is columns


# properties


@settings(max_examples=60, deadline=None)
@given(SCORES)
def test_interval_holds_its_estimate_and_mirrors(values):
    zero = [0.0] * len(values)
    right, left = (
        paired_bootstrap(*pair, seed=1, resamples=400) for pair in ((values, zero), (zero, values))
    )
    slack = 1e-9 * (1 + max(map(abs, values)))
    assert right.low <= right.high
    assert min(values) - slack <= right.low
    assert right.high <= max(values) + slack
    assert right.estimate == pytest.approx(-left.estimate, abs=slack)
    assert right.low == pytest.approx(-left.high, abs=slack)


@settings(max_examples=60, deadline=None)
@given(SCORES, st.randoms(use_true_random=False))
def test_p_value_is_a_share_and_ignores_order(values, random):
    shuffled = random.sample(values, len(values))
    p = permutation_test(values, [0.0] * len(values))
    assert 2.0 ** (1 - len(values)) <= p <= 1
    assert permutation_test(shuffled, [0.0] * len(values)) == pytest.approx(p, abs=1e-12)
    assert permutation_test([-v for v in values], [0.0] * len(values)) == pytest.approx(p, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_only_raises_and_keeps_order(p):
    adjusted = holm(p)
    assert all(after >= before for before, after in zip(p, adjusted, strict=True))
    assert all(adjusted[i] <= adjusted[j] for i in range(len(p)) for j in range(len(p)) if p[i] < p[j])


def test_same_seed_same_bits_and_global_state_untouched():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the point is that it does not move
    scores = np.random.default_rng(0).normal(size=50)
    assert bootstrap_mean(scores, seed=4) == bootstrap_mean(scores, seed=4)
    assert bootstrap_mean(scores, seed=4) != bootstrap_mean(scores, seed=5)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_chunks_do_not_change_the_number_of_draws():
    columns = np.ones((3000, 1))
    drawn = resampled_sums(columns, rng=np.random.default_rng(0), resamples=3001)  # more than one chunk
    np.testing.assert_array_equal(drawn, np.full((3001, 1), 3000.0))


def test_groups_widen_the_interval_of_correlated_items():
    rng = np.random.default_rng(10)
    groups = np.repeat(np.arange(20), 10)
    scores = rng.normal(size=20)[groups] + 0.1 * rng.normal(size=200)
    alone, together = bootstrap_mean(scores, seed=0), bootstrap_mean(scores, seed=0, groups=groups)
    assert together.standard_error > 2 * alone.standard_error


# simulated nulls: the stated false-positive rates


def _inside(rate: float, nominal: float, trials: int) -> bool:
    """Within four binomial standard deviations: a true rate fails once in 16,000 seeds."""
    return abs(rate - nominal) <= 4 * math.sqrt(nominal * (1 - nominal) / trials)


def test_exact_permutation_rejects_five_percent_of_nulls():
    # n = 8 gives multiples of 2/256, so p <= 0.05 has probability 12/256 = 0.0469 under the null
    rng = np.random.default_rng(20)
    p = [permutation_test(rng.normal(size=8), rng.normal(size=8)) for _ in range(2000)]
    assert _inside(float(np.mean(np.array(p) <= 0.05)), 12 / 256, 2000)


def test_sign_test_stays_below_its_level():
    # n = 8: p <= 0.05 means 0 or 8 wins, 2/256 = 0.0078
    rng = np.random.default_rng(21)
    p = [sign_test(rng.normal(size=8), rng.normal(size=8)) for _ in range(2000)]
    assert _inside(float(np.mean(np.array(p) <= 0.05)), 2 / 256, 2000)


def test_t_interval_misses_the_truth_in_five_percent():
    rng = np.random.default_rng(22)
    found = [mean_interval_t(rng.normal(size=5)) for _ in range(3000)]
    missed = [not (i.low <= 0 <= i.high) for i in found]
    assert _inside(float(np.mean(missed)), 0.05, 3000)


def test_bootstrap_misses_the_truth_in_about_five_percent_of_large_samples():
    # the percentile interval is a little too short at N = 100: nominal 0.05, expected about 0.055
    rng = np.random.default_rng(23)
    pairs = [(rng.normal(size=100), rng.normal(size=100)) for _ in range(600)]
    found = [paired_bootstrap(a, b, seed=k, resamples=500) for k, (a, b) in enumerate(pairs)]
    rate = float(np.mean([not (i.low <= 0 <= i.high) for i in found]))
    assert 0.03 <= rate <= 0.09


def test_holm_holds_the_familywise_rate():
    # four null tests: without correction 1 - 0.95^4 = 0.185 of families have a false positive, with it 0.05
    rng = np.random.default_rng(24)
    p = rng.uniform(size=(4000, 4))
    rate = float(np.mean([holm(row).min() <= 0.05 for row in p]))
    assert _inside(rate, 1 - (1 - 0.05 / 4) ** 4, 4000)
    assert float(np.mean(p.min(axis=1) <= 0.05)) > 0.15


# refusals


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paired_bootstrap([1.0, 2.0], [1.0], seed=0), "paired scores, found 2 and 1"),
        (lambda: bootstrap_mean([], seed=0), "at least 1 scores"),
        (lambda: bootstrap_mean([1.0, math.nan], seed=0), "finite scores, found nan"),
        (lambda: bootstrap_mean([1.0, 2.0], seed=0, resamples=10), "at least 100, found 10"),
        (lambda: bootstrap_mean([1.0, 2.0], seed=0, resamples=99), "at least 100, found 99"),
        (lambda: bootstrap_mean([1.0, 2.0], seed=0, level=1.5), "level: expected between 0 and 1"),
        (lambda: bootstrap_mean([1.0, 2.0], seed=0, level=1.0), "level: expected between 0 and 1"),
        (lambda: bootstrap_mean([1.0, 2.0], seed=0, level=0.0), "level: expected between 0 and 1"),
        (lambda: bootstrap_mean([1.0, 2.0], seed=0, weights=[0.0, 0.0]), "with a positive sum"),
        (lambda: bootstrap_mean([1.0, 2.0], seed=0, weights=[1.0]), "expected 2 non-negative values"),
        (lambda: mean_interval_t([1.0, 2.0], level=1.0), "level: expected between 0 and 1"),
        (lambda: hierarchical_bootstrap([[1.0], [2.0]], seed=0, resamples=99), "at least 100"),
        (lambda: bootstrap_aggregate([1.0, 2.0], "mean", seed=0, resamples=99), "at least 100"),
        (lambda: holm([-0.1]), "between 0 and 1"),
        (lambda: bootstrap_mean([1.0, 2.0], seed=0, groups=[1]), "groups: expected 2 labels"),
        (lambda: bootstrap_mean([1.0, 2.0], seed=0, weights=[-1.0, 2.0]), "non-negative"),
        (lambda: hierarchical_bootstrap([[1.0]], seed=0), "at least 2 seeds, found 1"),
        (lambda: mean_interval_t([1.0]), "at least 2 scores"),
        (lambda: mean_interval_t([1.0, 2.0], level=0.0), "level"),
        (lambda: bootstrap_aggregate([1.0], "median", seed=0), "at least 2 scores"),
        (lambda: permutation_test([1.0], [math.inf]), "finite scores, found inf"),
        (lambda: holm([0.5, 1.2]), "between 0 and 1"),
        (lambda: holm([math.nan]), "between 0 and 1"),
    ],
)
def test_refusals_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("how", "expected"), [("mean", 2.0), ("median", 1.0), ("min", 0.0), ("max", 5.0)])
def test_aggregates_over_seeds(how, expected):
    interval = bootstrap_aggregate([0.0, 1.0, 5.0], how, seed=0)
    assert interval.estimate == expected
    assert 0.0 <= interval.low <= interval.high <= 5.0
