"""Models, local training and fleets: gradients, by hand, limits, refusals."""

import numpy as np
import pytest
from scipy.special import log_softmax

from echobook.federated.fleet import Fleet, fleet_of_parts, fleet_of_users
from echobook.federated.local import LocalTraining
from echobook.federated.models import Softmax, TwoLayer, cross_entropy, logit_errors

MODELS = [Softmax(4, 3), TwoLayer(4, 5, 3), Softmax(4, 3, np.array([True, False, True]))]
MODELS += [TwoLayer(4, 5, 3, np.array([True, False, True]))]


def batch(seed=0, size=6):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((size, 4)).astype(np.float32)
    return x, rng.choice([0, 2], size)


@pytest.mark.parametrize("model", MODELS)
def test_gradient_is_that_of_finite_differences(model):
    """Differences of a float64 loss of float32 scores: h = 1e-2 keeps rounding (1e-7 / h) and h^2 small."""
    x, y = batch()
    rng = np.random.default_rng(1)
    theta = rng.standard_normal(model.size).astype(np.float32)
    found = np.empty_like(theta)
    model.gradient(theta, x, y, found)
    for place in range(model.size):
        step = np.zeros_like(theta)
        step[place] = 1e-2
        up, down = (cross_entropy(model.scores(theta + s, x), y).mean() for s in (step, -step))
        assert found[place] == pytest.approx((up - down) / 2e-2, abs=2e-3)


@pytest.mark.parametrize("model", MODELS)
def test_an_unknown_class_has_no_score_and_no_gradient(model):
    x, y = batch()
    theta = model.start(0)
    scores, gradient = model.scores(theta, x), np.empty_like(theta)
    model.gradient(theta, x, y, gradient)
    unknown = [] if model.known is None else np.flatnonzero(~model.known)
    assert np.isneginf(scores[:, unknown]).all()
    assert (gradient[-3:][unknown] == 0).all()
    assert len(gradient) == model.size


def test_cross_entropy_is_the_library_s():
    z = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32) * 30
    y = np.array([0, 1, 2, 3, 0])
    np.testing.assert_allclose(cross_entropy(z, y), -log_softmax(z.astype(float), axis=1)[np.arange(5), y])


def test_errors_by_hand():
    found = logit_errors(np.zeros((2, 2), dtype=np.float32), np.array([0, 1]))
    np.testing.assert_array_equal(found, [[-0.25, 0.25], [0.25, -0.25]])


def test_starts():
    assert (Softmax(4, 3).start(1) == 0).all()
    two = TwoLayer(400, 50, 3)
    assert two.start(1)[: 400 * 50].std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)
    assert (two.start(1)[400 * 50 :] == 0).all()
    np.testing.assert_array_equal(two.start(1), two.start(1))
    assert not np.array_equal(two.start(1), two.start(2))


def test_one_step_by_hand():
    """One example of class 0, x = 1, weights zero, rate 2: W and b become (1, -1)."""
    local = LocalTraining(rate=2.0)
    start = np.zeros(4, dtype=np.float32)
    end = local.train(
        Softmax(1, 2), start, np.ones((1, 1), dtype=np.float32), np.array([0]), np.random.default_rng(0)
    )
    assert end.tolist() == [1, -1, 1, -1]
    assert (start == 0).all()


def test_batches_cover_each_epoch_once():
    """With a rate so small that weights hardly move, the change is rate * epochs * batches * mean
    gradient.
    """
    x, y = batch(size=7)
    model, start = Softmax(4, 3), np.zeros(15, dtype=np.float32)
    whole = np.empty_like(start)
    model.gradient(start, x, y, whole)
    end = LocalTraining(rate=1e-4, epochs=3, batch=7).train(model, start, x, y, np.random.default_rng(0))
    np.testing.assert_allclose(end, -3e-4 * whole, atol=1e-7)
    ones = LocalTraining(rate=1e-4, epochs=3, batch=1).train(model, start, x, y, np.random.default_rng(0))
    np.testing.assert_allclose(ones, -3e-4 * 7 * whole, atol=1e-6)


def test_a_strong_proximal_term_holds_the_device_back():
    x, y = batch(size=30)
    start, free = np.zeros(15, dtype=np.float32), LocalTraining(rate=0.3, epochs=5)
    held = LocalTraining(rate=0.3, epochs=5, proximal=2.0)
    ends = [kind.train(Softmax(4, 3), start, x, y, np.random.default_rng(0)) for kind in (free, held)]
    assert np.linalg.norm(ends[1]) < 0.7 * np.linalg.norm(ends[0])


@pytest.mark.parametrize("model", [Softmax(4, 3), TwoLayer(4, 16, 3)])
def test_a_tiny_set_is_learnt_by_heart(model):
    x, y = batch(seed=4, size=4)
    local = LocalTraining(rate=0.5, epochs=400, batch=4)
    end = local.train(model, model.start(0), x, y, np.random.default_rng(0))
    assert (model.scores(end, x).argmax(axis=1) == y).mean() == 1


@pytest.mark.parametrize(
    "bad", [{"rate": 0.0}, {"rate": np.nan}, {"rate": 1.0, "epochs": 0}, {"rate": 1.0, "batch": 0},
            {"rate": 1.0, "proximal": -1.0}]
)  # fmt: skip
def test_bad_settings_are_refused(bad):
    with pytest.raises(ValueError, match="expected rate > 0, epochs >= 1, batch >= 1, proximal >= 0"):
        LocalTraining(**bad)


def test_no_example_is_refused():
    with pytest.raises(ValueError, match="the device has no example"):
        LocalTraining(rate=1.0).train(
            Softmax(4, 3), np.zeros(15, dtype=np.float32), np.empty((0, 4), dtype=np.float32),
            np.empty(0, dtype=int), np.random.default_rng(0),
        )  # fmt: skip


def table(rows=6):
    return np.arange(rows * 2, dtype=np.float32).reshape(rows, 2), np.arange(rows) % 2


def test_fleets_by_hand():
    x, y = table()
    fleet, names = fleet_of_users(x, y, np.array(["bo", "al", "bo", "cy", "al", "bo"]))
    assert names.tolist() == ["al", "bo", "cy"]
    assert fleet.counts.tolist() == [2, 3, 1]
    assert [fleet.rows_of(k).tolist() for k in range(3)] == [[1, 4], [0, 2, 5], [3]]
    assert fleet.pooled().counts.tolist() == [6]
    assert fleet.pooled().clients == 1
    same = fleet_of_parts(x, y, [np.array([1, 4]), np.array([0, 2, 5]), np.array([3])])
    np.testing.assert_array_equal(same.rows, fleet.rows)


def test_an_example_may_lie_on_several_devices():
    x, y = table()
    assert fleet_of_parts(x, y, [np.array([1, 1]), np.array([1])]).counts.tolist() == [2, 1]


def nan_table():
    x, y = table()
    x[3, 1] = np.nan
    return x, y


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: fleet_of_parts(*table(), [np.array([0]), np.array([], dtype=int)]),
            "device 1 has no example",
        ),
        (lambda: fleet_of_parts(*table(), []), "parts: expected at least one device"),
        (lambda: fleet_of_parts(*table(), [np.array([9])]), r"rows: expected in 0..5, got 9..9"),
        (lambda: fleet_of_parts(*nan_table(), [np.array([0])]), "features: row 3 is not finite"),
        (lambda: Fleet(*table(), np.arange(3), np.array([0, 2])), "offsets: expected to run from 0 to 3"),
        (lambda: fleet_of_users(*table(), np.array(["a"])), "1 users, but 6 labels|users"),
    ],
)
def test_bad_fleets_are_refused(make, message):
    with pytest.raises(Exception, match=message):
        make()
