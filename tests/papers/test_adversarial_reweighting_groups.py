"""Rates by group: against brute force, what speakers contribute, and the bootstrap."""

import numpy as np
import pandas as pd
import pytest

from echobook.metrics.statistics import sum_by_group
from echobook.metrics.verification import ErrorCurve, Trials, equal_error
from echobook.papers.adversarial_reweighting import groups
from echobook.papers.adversarial_reweighting.groups import GroupRates, ScoredFold, slices_of

TABLE = pd.DataFrame({"sex": ["f", "f", "m", "m"] * 4, "age": ["adult", "child"] * 8})


def fold(
    seed: int, speakers: list[int], *, noise: float = 1.0, by: tuple[str, ...] = ("sex", "age")
) -> ScoredFold:
    """Three noisy utterances of each speaker."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(16, 6))
    owner = np.repeat(speakers, 3)
    embeddings = centres[owner] + noise * rng.normal(size=(len(owner), 6))
    return ScoredFold(embeddings, owner, slices_of(TABLE, by))


def slow_rate(one: ScoredFold, inside: np.ndarray, leave: int = -1) -> float:
    """A loop over pairs of utterances, one speaker left out."""
    scores, genuine = [], []
    for i in range(len(one.speaker)):
        for j in range(i + 1, len(one.speaker)):
            a, b = int(one.speaker[i]), int(one.speaker[j])
            if inside[a] and inside[b] and leave not in (a, b):
                u, v = one.embeddings[i], one.embeddings[j]
                scores.append(u @ v / np.linalg.norm(u) / np.linalg.norm(v))
                genuine.append(a == b)
    return equal_error(Trials(np.array(scores), np.array(genuine)).curve()).rate


def test_slices_by_hand() -> None:
    found = slices_of(TABLE, ("sex", "age"))
    assert list(found) == ["all", "f", "m", "adult", "child", "f-adult", "f-child", "m-adult", "m-child"]
    assert found["f-child"].sum() == 4
    assert (found["f"] | found["m"]).all()
    assert list(slices_of(TABLE, ("sex",))) == ["all", "f", "m"]


def test_rates_equal_a_loop() -> None:
    one = fold(0, list(range(16)))
    rates = one.rates()
    for name in ("all", "f", "child", "m-adult"):
        assert rates[name] == pytest.approx(slow_rate(one, one.slices[name]), abs=1e-9)


def slow_errors(one: ScoredFold, inside: np.ndarray, threshold: float, leave: int) -> tuple[float, float]:
    """FRR and FAR at a threshold, by a loop over pairs, one speaker left out."""
    wrong, count = {True: 0, False: 0}, {True: 0, False: 0}
    for i in range(len(one.speaker)):
        for j in range(i + 1, len(one.speaker)):
            a, b = int(one.speaker[i]), int(one.speaker[j])
            if inside[a] and inside[b] and leave not in (a, b):
                u, v = one.embeddings[i], one.embeddings[j]
                score = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
                accepted = score >= threshold - 1e-12  # the threshold may be this very score
                count[a == b] += 1
                wrong[a == b] += bool(accepted) != (a == b)
    return wrong[True] / count[True], wrong[False] / count[False]


@pytest.mark.parametrize("name", ["all", "f"])
def test_leaving_one_out_is_linear_in_the_errors_of_a_loop(name: str) -> None:
    one = fold(1, list(range(0, 16, 2)), by=("sex",))
    curve = one.trials(name)[0].curve()
    full = equal_error(curve)
    inside, share = one.slices[name], groups.frr_share(curve, full.rate)
    base = slow_errors(one, inside, full.threshold, -1)
    found = one.without_each(np.arange(16))[name]
    for speaker in range(16):
        errors = slow_errors(one, inside, full.threshold, speaker)
        change = share * (errors[0] - base[0]) + (1 - share) * (errors[1] - base[1])
        assert found[speaker] == pytest.approx(full.rate + change, abs=1e-12)
    assert found[1] == full.rate  # not judged here


def test_share_of_the_frr_by_hand() -> None:
    """FRR rises from 0 to .3 while FAR falls from .4 to .3 and .2: around the crossing g = .2 and f = .3."""
    frr, far = np.array([0, 0.1, 0.3, 0.4, 1.0]), np.array([1, 0.4, 0.3, 0.2, 0])
    curve = ErrorCurve(np.array([1.0, 2, 3, 4, np.inf]), frr, far)
    # rate .25: from gap -.3, the last before -.25, to gap 1: f = .9, g = .4
    assert groups.frr_share(curve, 0.25) == pytest.approx(0.4 / 1.3)
    # rate .1: from gap -.3 to gap .2: f = .3, g = .2
    assert groups.frr_share(curve, 0.1) == pytest.approx(0.2 / 0.5)


def test_drawing_everybody_once_is_the_full_rate_and_twice_changes_nothing() -> None:
    one = fold(2, list(range(16)))
    once = one.rate("all", np.ones(16))
    assert once == pytest.approx(one.rate("all"), abs=1e-12)
    # a speaker drawn twice with everybody else: impostor trials times four, genuine ones times two
    assert one.rate("all", np.full(16, 2.0)) == pytest.approx(once, abs=1e-12)


def test_rates_over_folds_are_means() -> None:
    folds = [fold(3 + k, list(range(8 * k, 8 * k + 8)), by=("sex",)) for k in range(2)]
    both = GroupRates.over(folds)
    assert both.full["all"] == pytest.approx(np.mean([one.rates()["all"] for one in folds]))
    assert both.without["all"].shape == (16,)
    alone = folds[0].without_each(np.arange(16))["all"]
    assert both.without["all"][3] == pytest.approx((alone[3] + folds[1].rates()["all"]) / 2)


def test_contributions_of_a_mean_are_the_items() -> None:
    """The jackknife of a mean gives the items back: theta_-s = (S theta - x_s) / (S - 1)."""
    x = np.array([0.1, 0.5, 0.3, 0.7])
    without = (x.sum() - x) / 3
    np.testing.assert_allclose(groups.contributions(float(x.mean()), without), x, atol=1e-12)
    assert groups.jackknife_error(x) == pytest.approx(np.std(x, ddof=1) / 2)


def test_contributions_average_to_the_measure_and_sum_by_group() -> None:
    both = GroupRates.over([fold(5, list(range(16)))])
    for measure in (groups.rate_of("f"), groups.gap("f", "m"), groups.spread(["f-adult", "m-child"])):
        value, shares = groups.measured(both, measure)
        assert shares.mean() == pytest.approx(value, abs=1e-12)
        table = sum_by_group(np.stack([shares, np.ones(16)], axis=1), list(range(16)))
        assert table[:, 0].sum() / table[:, 1].sum() == pytest.approx(value, abs=1e-12)


def test_measures_by_hand() -> None:
    rates = {"f": np.array(0.1), "m": np.array(0.3), "US": np.array(1.04), "UK": np.array(0.76)}
    rates["others"] = np.array(1.22)
    assert float(groups.gap("m", "f")(rates)) == pytest.approx(0.2)
    assert float(groups.lag("f", "m")(rates)) == pytest.approx(-0.2)
    # the paper's three figures and its 0.19: only the population's deviation gives that
    assert float(groups.spread(["US", "UK", "others"])(rates)) == pytest.approx(0.189, abs=5e-4)


def test_relative_gain_by_hand() -> None:
    empty = {name: np.array([0.2, 0.4]) for name in ("f", "m")}
    old = GroupRates({"f": 0.2, "m": 0.4}, empty)
    new = GroupRates({"f": 0.18, "m": 0.3}, empty)
    value, shares = groups.relative_gain(new, old, "f", "m")
    assert value == pytest.approx(0.25 - 0.1)  # men gain a quarter, women a tenth
    assert shares.mean() == pytest.approx(value)
    back, _ = groups.relative_gain(new, old, "m", "f")
    assert back == pytest.approx(-value)


def test_one_threshold_table() -> None:
    one = fold(6, list(range(16)), noise=1.5)
    table = one.at_one_threshold().set_index("group")
    step = 1 / 48  # of the FRR: 48 genuine trials
    rate = one.rates()["all"]
    assert abs(table.loc["all", "FRR"] - rate) <= step
    trials, _, _ = one.trials("f")
    threshold = equal_error(one.trials("all")[0].curve()).threshold
    assert table.loc["f", "FAR"] == np.mean(trials.scores[~trials.genuine] >= threshold)


def test_bootstrap_is_paired_and_near_the_jackknife() -> None:
    folds = [fold(7, list(range(16)), noise=1.5)]
    first = groups.bootstrap(folds, ["all"], groups.rate_of("all"), draws=200, seed=1)
    again = groups.bootstrap(folds, ["all"], groups.rate_of("all"), draws=200, seed=1)
    assert (first == again).all()
    none = groups.bootstrap_of_difference(folds, folds, ["all"], groups.rate_of("all"), draws=20, seed=1)
    assert (none == 0).all()
    _, shares = groups.measured(GroupRates.over(folds), groups.rate_of("all"))
    # sixteen speakers and 200 draws: either error is good to about a third
    assert 0.6 < groups.jackknife_error(shares) / np.std(first, ddof=1) < 1.6


def test_a_group_of_two_speakers_is_too_small_to_leave_one_out() -> None:
    small = fold(8, list(range(8)))
    with pytest.raises(ValueError, match="group 'f-adult': nothing is left without speaker 0; too small"):
        GroupRates.over([small])
