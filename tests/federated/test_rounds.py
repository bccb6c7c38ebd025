"""Federated rounds: one by hand, the slow loop, determinism, shards, refusals."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from echobook.federated.aggregation import ByInverseInclusion, BySamples, Equally
from echobook.federated.fleet import fleet_of_parts
from echobook.federated.local import LocalTraining
from echobook.federated.models import Softmax, TwoLayer
from echobook.federated.rounds import Federation, mean_losses, run_periods, run_round, run_rounds
from echobook.federated.selection import ByActivity, MostActive, PowerOfChoice


def fleet(seed=0, sizes=(1, 3, 8, 2, 17, 5), features=4, classes=3):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((sum(sizes), features)).astype(np.float32)
    y = rng.integers(0, classes, sum(sizes))
    return fleet_of_parts(x, y, np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1]))


def federation(**changes):
    parts = {"model": Softmax(4, 3), "local": LocalTraining(rate=0.5, batch=4), "selection": ByActivity(1.0)}
    return Federation(**(parts | {"aggregation": Equally(), "m": 3} | changes))


def test_a_round_by_hand():
    """Two devices, two classes, one feature of value 1, weights zero.

    Every p is one half, so a device that holds only class 0 gets gradients (-1/2, 1/2) for both W and b,
    and one of class 1 the reverse. With rate 1 the devices end at (1/2, -1/2) and (-1/2, 1/2). By samples,
    three to one, the server ends at 3/4 * 1/2 - 1/4 * 1/2 = 1/4; equally at 0.
    """
    x, y = np.ones((4, 1), dtype=np.float32), np.array([0, 0, 0, 1])
    small = fleet_of_parts(x, y, [np.arange(3), np.arange(3, 4)])
    setting = federation(model=Softmax(1, 2), local=LocalTraining(rate=1.0, batch=3), m=2)
    start = np.zeros(4, dtype=np.float32)
    for aggregation, expected in [(BySamples(), 0.25), (Equally(), 0.0)]:
        state = run_round(replace(setting, aggregation=aggregation), small, start, number=1, seed=0)
        np.testing.assert_array_equal(state.theta, np.array([1, -1, 1, -1]) * expected)
        assert state.samples == 4
    halved = replace(setting, aggregation=BySamples(), server_rate=0.5)
    np.testing.assert_array_equal(
        run_round(halved, small, start, number=1, seed=0).theta[:2], [0.125, -0.125]
    )


def slow_run(setting, devices, theta, rounds, seed):
    """Every example's gradient by itself, in float64, one device after the other."""
    features, classes = setting.model.features, setting.model.classes
    theta = theta.astype(np.float64)
    for number in range(1, rounds + 1):
        rng = np.random.default_rng((seed, number, 0))
        chosen = setting.selection.choose(devices.counts, m=setting.m, rng=rng, loss_of=None)
        weights = setting.aggregation(devices.counts[chosen], None)
        ends = []
        for client in chosen:
            rows, w = devices.rows_of(int(client)), theta.copy()
            order_rng = np.random.default_rng((seed, number, 1 + int(client)))
            for _ in range(setting.local.epochs):
                order = order_rng.permutation(len(rows))
                for first in range(0, len(order), setting.local.batch):
                    batch = order[first : first + setting.local.batch]
                    gradient = np.zeros_like(w)
                    for place in batch:
                        x, y = devices.features[rows[place]].astype(np.float64), devices.labels[rows[place]]
                        z = x @ w[:-classes].reshape(features, classes) + w[-classes:]
                        p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
                        p[y] -= 1
                        gradient += np.concatenate([np.outer(x, p).ravel(), p]) / len(batch)
                    w = w - setting.local.rate * (gradient + setting.local.proximal * (w - theta))
            ends.append(w)
        theta = theta + sum(a * (end - theta) for a, end in zip(weights, ends, strict=True))
    return theta


@pytest.mark.parametrize("proximal", [0.0, 0.3])
@pytest.mark.parametrize("aggregation", [Equally(), BySamples()])
@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_trajectory_is_that_of_a_slow_loop(aggregation, exponent, proximal):
    local = LocalTraining(rate=0.4, epochs=2, batch=3, proximal=proximal)
    setting = federation(aggregation=aggregation, selection=ByActivity(exponent), local=local)
    devices, start = fleet(1), np.zeros(15, dtype=np.float32)
    *_, last = run_rounds(setting, devices, start, rounds=6, seed=4)
    # float32 keeps seven digits; weights stay below 2 over some forty steps
    np.testing.assert_allclose(last.theta, slow_run(setting, devices, start, 6, 4), atol=5e-6)


def test_the_same_seed_gives_the_same_bits_and_another_one_others():
    start = np.zeros(15, dtype=np.float32)
    ends = [[*run_rounds(federation(), fleet(), start, rounds=5, seed=seed)][-1].theta for seed in (3, 3, 4)]
    np.testing.assert_array_equal(ends[0], ends[1])
    assert not np.array_equal(ends[0], ends[2])


def test_a_run_can_go_on_where_it_stopped():
    start = np.zeros(15, dtype=np.float32)
    whole = [*run_rounds(federation(), fleet(), start, rounds=6, seed=3)]
    rest = [*run_rounds(federation(), fleet(), whole[2].theta, rounds=3, seed=3, first=4)]
    np.testing.assert_array_equal(whole[-1].theta, rest[-1].theta)
    assert [state.number for state in rest] == [4, 5, 6]


def test_a_device_trains_alike_whoever_else_is_chosen():
    """The first device in a round alone, and its part of a round with all."""
    start, devices = np.zeros(15, dtype=np.float32), fleet()
    alone = run_round(federation(selection=MostActive(), m=1), devices, start, number=2, seed=5).theta
    changed = devices.labels.copy()
    changed[:] = (changed + 1) % 3
    changed[devices.rows_of(4)] = devices.labels[devices.rows_of(4)]  # only device 4, the largest, as it was
    others = replace(devices, labels=changed)
    np.testing.assert_array_equal(
        alone, run_round(federation(selection=MostActive(), m=1), others, start, number=2, seed=5).theta
    )


def test_shards_and_processes_give_the_same_bits():
    start, devices = np.zeros(15, dtype=np.float32), fleet()
    here = run_round(federation(m=5), devices, start, number=1, seed=0, shards=2).theta
    with ProcessPoolExecutor(max_workers=2) as pool:
        there = run_round(federation(m=5), devices, start, number=1, seed=0, shards=2, mapper=pool.map).theta
    np.testing.assert_array_equal(here, there)
    # another number of shards sums in another order: float64 sums, rounded to float32 once
    one = run_round(federation(m=5), devices, start, number=1, seed=0).theta
    np.testing.assert_allclose(one, here, atol=1e-7)


def test_more_shards_than_devices_is_one_each():
    start = np.zeros(15, dtype=np.float32)
    state = run_round(federation(m=2), fleet(), start, number=1, seed=0, shards=9)
    assert len(state.chosen) == 2


def test_periods_carry_weights_over_and_number_through():
    first, second, start = fleet(0), fleet(1, sizes=(4, 4, 9)), np.zeros(15, dtype=np.float32)
    found = [*run_periods([federation(), federation()], [first, second], start, rounds=2, seed=7)]
    assert [(period, state.number) for period, state in found] == [(0, 1), (0, 2), (1, 3), (1, 4)]
    begin = [*run_rounds(federation(), first, start, rounds=2, seed=7)][-1].theta
    end = [*run_rounds(federation(), second, begin, rounds=2, seed=7, first=3)][-1].theta
    np.testing.assert_array_equal(found[-1][1].theta, end)


def test_periods_select_by_the_counts_of_the_period():
    first, second = fleet(0, sizes=(20, 1, 1)), fleet(0, sizes=(1, 1, 20))
    found = run_periods([federation(selection=MostActive(), m=1)] * 2, [first, second],
                        np.zeros(15, dtype=np.float32), rounds=1, seed=0)  # fmt: skip
    assert [state.chosen.tolist() for _, state in found] == [[0], [2]]


def test_power_of_choice_takes_the_highest_losses():
    devices, theta = fleet(3), np.random.default_rng(0).standard_normal(15).astype(np.float32)
    losses = mean_losses(Softmax(4, 3), devices, theta, np.arange(6))
    setting = federation(selection=PowerOfChoice(factor=2), m=3)  # all six are candidates
    state = run_round(setting, devices, theta, number=1, seed=0)
    assert state.chosen.tolist() == sorted(np.argsort(-losses)[:3].tolist())


def test_bytes_of_a_round():
    assert federation().bytes_a_round == 2 * 3 * 15 * 4
    assert federation(selection=PowerOfChoice(factor=2)).bytes_a_round == 3 * 3 * 15 * 4


def test_importance_correction_uses_exact_probabilities():
    setting = federation(aggregation=ByInverseInclusion(), m=6)  # all take part: pi is 1, so weights are n_k
    plain = federation(aggregation=BySamples(), m=6)
    start = np.zeros(15, dtype=np.float32)
    ends = [[*run_rounds(s, fleet(), start, rounds=3, seed=1)][-1].theta for s in (setting, plain)]
    np.testing.assert_allclose(*ends, atol=1e-6)


class OneTooMuch:
    """An aggregation whose weights do not sum to one."""

    needs_inclusion = False

    def __call__(self, counts, inclusion):
        return np.full(len(counts), 1.1 / len(counts))


class NoneAtAll(OneTooMuch):
    def __call__(self, counts, inclusion):
        return np.full(len(counts), np.nan)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"m": 7}, "m: expected between 1 and the 6 devices of the fleet, got 7"),
        ({"m": 0}, "m: expected between 1 and the 6 devices"),
        ({"aggregation": OneTooMuch()}, "expected weights that sum to 1, got 1.1"),
        ({"aggregation": NoneAtAll()}, "expected 3 weights, finite and not negative"),
        ({"local": LocalTraining(rate=1e38, epochs=9)}, "round 1: the weights diverged; try a lower"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # overflow is what the last case makes
def test_refusals(changes, message):
    start = np.full(15, 10, dtype=np.float32)
    with pytest.raises(ValueError, match=message):
        for _ in run_rounds(federation(**changes), fleet(), start, rounds=1, seed=0):
            pass


def test_importance_correction_of_an_unknown_probability_is_refused():
    setting = federation(aggregation=ByInverseInclusion(), selection=PowerOfChoice())
    with pytest.raises(ValueError, match="no probability is known"):
        next(run_rounds(setting, fleet(), np.zeros(15, dtype=np.float32), rounds=1, seed=0))


def test_periods_of_different_models_are_refused():
    other = federation(model=TwoLayer(4, 2, 3))
    with pytest.raises(ValueError, match="all of one model size"):
        next(
            run_periods(
                [federation(), other], [fleet(), fleet()], np.zeros(15, dtype=np.float32), rounds=1, seed=0
            )
        )
