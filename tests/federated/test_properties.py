"""What must hold of any fleet: equalities with one place, symmetries, limits, nothing changed in passing."""

from dataclasses import replace

import numpy as np
import pytest

from echobook.federated.aggregation import ByInverseInclusion, BySamples, Equally, horvitz_thompson
from echobook.federated.fleet import fleet_of_parts
from echobook.federated.inclusion import inclusion_probabilities
from echobook.federated.local import LocalTraining
from echobook.federated.models import Softmax, TwoLayer, cross_entropy
from echobook.federated.rounds import Federation, mean_losses, run_round, run_rounds
from echobook.federated.selection import ByActivity, MostActive, PowerOfChoice, draw

WHOLE = 10**6  # a batch that holds every example of any device here


def table(seed, rows=40, features=4, classes=3):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, features)).astype(np.float32), rng.integers(0, classes, rows)


def parts_of(rows, devices, seed):
    """Random devices, none empty."""
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.choice(np.arange(1, rows), devices - 1, replace=False))
    return np.split(rng.permutation(rows), cuts)


def federation(model, **changes):
    parts = {
        "local": LocalTraining(rate=0.5, batch=WHOLE),
        "selection": ByActivity(0.0),
        "aggregation": BySamples(),
        "m": 5,
    }
    return Federation(model=model, **(parts | changes))


@pytest.mark.parametrize("model", [Softmax(4, 3), TwoLayer(4, 6, 3)])
@pytest.mark.parametrize("seed", range(4))
def test_all_devices_with_one_step_each_are_a_step_in_one_place(model, seed):
    """FedSGD: full participation, weights by samples, one full batch = one gradient step on all data."""
    x, y = table(seed)
    fleet = fleet_of_parts(x, y, parts_of(40, 5, seed))
    theta = np.random.default_rng(seed).standard_normal(model.size).astype(np.float32)
    gradient = np.empty_like(theta)
    model.gradient(theta, x, y, gradient)
    found = run_round(federation(model), fleet, theta, number=1, seed=seed).theta
    np.testing.assert_allclose(found, theta - 0.5 * gradient, atol=2e-6)  # float32 steps of size 1


@pytest.mark.parametrize("seed", range(3))
def test_a_device_may_be_cut_in_two(seed):
    """In the same setting it does not matter on how many devices the examples lie."""
    x, y = table(seed)
    parts = parts_of(40, 5, seed)
    largest = max(range(5), key=lambda k: len(parts[k]))
    half = len(parts[largest]) // 2
    cut = [
        *(part for k, part in enumerate(parts) if k != largest),
        parts[largest][:half],
        parts[largest][half:],
    ]
    model, start = Softmax(4, 3), np.zeros(15, dtype=np.float32)

    def end(p, aggregation):
        setting = federation(model, m=len(p), aggregation=aggregation)
        return run_round(setting, fleet_of_parts(x, y, p), start, number=1, seed=0).theta

    np.testing.assert_allclose(end(parts, BySamples()), end(cut, BySamples()), atol=1e-6)
    # with equal weights it does
    assert np.abs(end(parts, Equally()) - end(cut, Equally())).max() > 1e-3


def test_the_server_s_rate_scales_the_step():
    x, y = table(0)
    fleet, model = fleet_of_parts(x, y, parts_of(40, 8, 0)), Softmax(4, 3)
    theta = np.random.default_rng(1).standard_normal(15).astype(np.float32)
    steps = [
        run_round(federation(model, server_rate=rate), fleet, theta, number=1, seed=3).theta - theta
        for rate in (1.0, 0.25)
    ]
    np.testing.assert_allclose(steps[0] / 4, steps[1], atol=1e-6)


def test_a_round_changes_neither_the_weights_it_got_nor_the_fleet():
    x, y = table(2)
    fleet, theta = fleet_of_parts(x, y, parts_of(40, 8, 2)), np.full(15, 0.5, dtype=np.float32)
    before = [part.copy() for part in (theta, fleet.features, fleet.labels, fleet.rows)]
    run_round(federation(Softmax(4, 3)), fleet, theta, number=1, seed=0)
    for old, new in zip(before, (theta, fleet.features, fleet.labels, fleet.rows), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_first_proximal_step_pulls_nowhere():
    """At the server's weights the proximal term is zero; from the second step on it is not."""
    x, y = table(5)
    model, start = Softmax(4, 3), np.zeros(15, dtype=np.float32)
    for epochs, same in ((1, True), (2, False)):
        ends = [
            LocalTraining(rate=0.3, epochs=epochs, batch=WHOLE, proximal=mu).train(
                model, start, x, y, np.random.default_rng(0)
            )
            for mu in (0.0, 1.0)
        ]
        assert np.array_equal(*ends) == same


def test_two_proximal_steps_by_formula():
    """w2 = w1 - rate (g(w1) + mu (w1 - w0)), written out."""
    x, y = table(6)
    model, start = Softmax(4, 3), np.zeros(15, dtype=np.float32)
    first, second = np.empty_like(start), np.empty_like(start)
    model.gradient(start, x, y, first)
    once = start - 0.3 * first
    model.gradient(once, x, y, second)
    expected = once - 0.3 * (second + 0.7 * (once - start))
    local = LocalTraining(rate=0.3, epochs=2, batch=WHOLE, proximal=0.7)
    found = local.train(model, start, x, y, np.random.default_rng(0))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_shift_of_all_logits_changes_nothing():
    x, y = table(7)
    model = Softmax(4, 3)
    theta = np.random.default_rng(0).standard_normal(15).astype(np.float32)
    shifted = theta.copy()
    shifted[-3:] += 5
    gradients = [np.empty_like(theta) for _ in range(2)]
    for weights, out in zip((theta, shifted), gradients, strict=True):
        model.gradient(weights, x, y, out)
    np.testing.assert_allclose(*gradients, atol=1e-6)
    losses = [cross_entropy(model.scores(weights, x), y) for weights in (theta, shifted)]
    np.testing.assert_allclose(*losses, atol=1e-5)


def test_hidden_units_have_no_order():
    x = table(8)[0]
    model, order = TwoLayer(4, 6, 3), np.random.default_rng(0).permutation(6)
    theta = np.random.default_rng(1).standard_normal(model.size).astype(np.float32)
    a, bias, w = theta[:24].reshape(4, 6), theta[24:30], theta[30:48].reshape(6, 3)
    moved = np.concatenate([a[:, order].ravel(), bias[order], w[order].ravel(), theta[48:]])
    np.testing.assert_allclose(model.scores(theta, x), model.scores(moved, x), atol=1e-5)


def test_huge_logits_stay_finite():
    x, y = table(9)
    theta, out = np.full(15, 1e4, dtype=np.float32), np.empty(15, dtype=np.float32)
    theta[:12] *= np.sign(np.random.default_rng(0).standard_normal(12)).astype(np.float32)
    Softmax(4, 3).gradient(theta, x, y, out)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("seed", range(3))
def test_inclusion_depends_on_proportions_and_follows_the_devices(seed):
    rng = np.random.default_rng(seed)
    weights, order = np.exp(rng.normal(0, 1.5, 40)), rng.permutation(40)
    found = inclusion_probabilities(weights, 7)
    np.testing.assert_allclose(inclusion_probabilities(1000 * weights, 7), found, atol=1e-9)
    np.testing.assert_allclose(inclusion_probabilities(weights[order], 7), found[order], atol=1e-9)


def test_more_draws_include_everybody_more_often():
    weights = np.exp(np.random.default_rng(3).normal(0, 2.0, 30))
    found = np.stack([inclusion_probabilities(weights, m) for m in range(1, 31)])
    assert (np.diff(found, axis=0) > -1e-9).all()
    np.testing.assert_allclose(found.sum(axis=1), np.arange(1, 31), atol=1e-6)
    np.testing.assert_allclose(found[0], weights / weights.sum(), atol=1e-8)
    # without replacement, the heaviest is drawn less often than m times its share
    assert (found[:20, weights.argmax()] <= np.arange(1, 21) * weights.max() / weights.sum() + 1e-9).all()


def test_weights_that_span_too_much_are_refused():
    """One of a million million is never left out, and no quadrature here can tell by how little."""
    with pytest.raises(ValueError, match=r"weights: from 1 to 1e\+12 with m = 4 of 5 is too wide a span"):
        inclusion_probabilities(np.array([1.0, 1.0, 2.0, 3.0, 1e12]), 4)


def test_the_unit_of_activity_does_not_matter():
    counts = np.array([1, 2, 5, 9, 30])
    for seed in range(20):
        drawn = [
            ByActivity(1.0).choose(c, m=2, rng=np.random.default_rng(seed)) for c in (counts, 7 * counts)
        ]
        np.testing.assert_array_equal(*drawn)


def test_horvitz_thompson_weights_sum_to_one_on_average():
    counts, total = np.array([1, 3, 6, 20]), 30
    pi = inclusion_probabilities(counts.astype(float), 2)
    sums = []
    for seed in range(4000):
        chosen = draw(counts.astype(float), 2, np.random.default_rng(seed))
        sums.append(horvitz_thompson(counts[chosen], pi[chosen], total=total).sum())
    assert np.mean(sums) == pytest.approx(1.0, abs=4 * np.std(sums) / np.sqrt(4000))
    assert np.std(sums) > 0.01


def test_power_of_choice_with_one_candidate_each_asks_nobody_s_loss_to_decide():
    counts, rule = np.array([1, 2, 3, 4, 5, 6]), PowerOfChoice(factor=1)
    for seed in range(10):
        chosen = rule.choose(counts, m=3, rng=np.random.default_rng(seed), loss_of=lambda k: -k.astype(float))
        np.testing.assert_array_equal(chosen, draw(np.ones(6), 3, np.random.default_rng(seed)))
    assert rule.queried(m=3) == 0


def test_of_equal_losses_the_lower_number_is_taken():
    chosen = PowerOfChoice(factor=9).choose(
        np.full(6, 2), m=2, rng=np.random.default_rng(0), loss_of=lambda k: np.zeros(len(k))
    )
    assert chosen.tolist() == [0, 1]


def test_losses_of_devices_by_hand():
    """Zero weights: every loss is the log of the number of classes, whatever a device holds."""
    x, y = table(0)
    fleet = fleet_of_parts(x, y, parts_of(40, 4, 0))
    found = mean_losses(Softmax(4, 3), fleet, np.zeros(15, dtype=np.float32), np.array([0, 3]))
    np.testing.assert_allclose(found, np.log(3), atol=1e-7)


def test_fixed_selection_with_exact_probabilities_is_by_samples():
    """Who always takes part has probability one: the correction then is FedAvg's weight."""
    counts = np.array([2, 8, 1, 5])
    rule = MostActive()
    chosen = rule.choose(counts, m=2, rng=np.random.default_rng(0))
    pi = rule.inclusion(counts, m=2)[chosen]
    np.testing.assert_array_equal(ByInverseInclusion()(counts[chosen], pi), BySamples()(counts[chosen], None))


def test_samples_are_those_of_the_chosen_times_epochs():
    x, y = table(1)
    fleet = fleet_of_parts(x, y, parts_of(40, 8, 1))
    setting = federation(Softmax(4, 3), m=3, local=LocalTraining(rate=0.1, epochs=4, batch=7))
    for state in run_rounds(setting, fleet, np.zeros(15, dtype=np.float32), rounds=5, seed=2):
        assert state.samples == 4 * fleet.counts[state.chosen].sum()
        assert (np.diff(state.chosen) > 0).all()


def test_another_model_size_than_the_weights_is_refused():
    x, y = table(1)
    fleet = fleet_of_parts(x, y, parts_of(40, 8, 1))
    with pytest.raises(Exception, match=r"reshape|shape|Type-check"):
        run_round(
            replace(federation(Softmax(4, 3)), model=Softmax(4, 5)),
            fleet, np.zeros(15, dtype=np.float32), number=1, seed=0,
        )  # fmt: skip
