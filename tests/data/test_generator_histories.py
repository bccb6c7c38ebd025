"""Simulated users: preferences, spans, decks without repeats, noise, the control setting, refusals."""

import numpy as np
import pytest

from echobook.data.generators.histories import HistoryWorld, preferences, simulate_histories

POOL = np.repeat(np.arange(4), 50)


def test_preferences_change_where_the_spans_end():
    world = HistoryWorld(users=3, interactions=6, changes=2)
    theta = preferences(world, 4, np.random.default_rng(0))
    assert theta.shape == (3, 6, 4)
    assert np.allclose(theta.sum(axis=-1), 1)
    same = (theta[:, 1:] == theta[:, :-1]).all(axis=-1)
    assert same.tolist() == [[True, False, True, False, True]] * 3


def test_without_changes_preferences_stay():
    theta = preferences(HistoryWorld(users=2, interactions=9, changes=0), 4, np.random.default_rng(0))
    assert (theta == theta[:, :1]).all()


def test_labels_are_the_pools_and_no_text_is_said_twice():
    found = simulate_histories(POOL, HistoryWorld(users=30, interactions=40), seed=0)
    assert np.array_equal(POOL[found.rows], found.labels)
    assert all(len(set(row)) == 40 for row in found.rows.tolist())


def test_a_deck_that_is_used_up_begins_again():
    found = simulate_histories(np.array([0, 1]), HistoryWorld(users=1, interactions=8, changes=0), seed=0)
    assert set(found.rows[0]) <= {0, 1}


def test_classes_follow_the_preferences():
    world = HistoryWorld(users=200, interactions=40, changes=0)
    found = simulate_histories(POOL, world, seed=0)
    shares = np.stack([np.bincount(row, minlength=4) / 40 for row in found.labels])
    # a share of 40 draws has a standard error of at most .08; over 800 shares the mean gap is about .04
    assert np.abs(shares - found.theta[:, 0]).mean() < 0.06


def test_alike_users_have_nothing_to_tell():
    near = preferences(HistoryWorld(users=300, concentration=10.0), 4, np.random.default_rng(0))
    far = preferences(HistoryWorld(users=300, concentration=0.15), 4, np.random.default_rng(0))
    assert near.max(axis=-1).mean() < 0.42 < 0.7 < far.max(axis=-1).mean()


def test_noise_rewrites_labels_evenly():
    found = simulate_histories(POOL, HistoryWorld(users=100, interactions=40, noise=1.0), seed=0)
    wrong = (POOL[found.rows] != found.labels).mean()
    assert 0.7 < wrong < 0.8  # three of four, standard error .007


def test_a_seed_repeats():
    first, again, other = (simulate_histories(POOL, HistoryWorld(users=5), seed=s) for s in (1, 1, 2))
    assert np.array_equal(first.rows, again.rows)
    assert not np.array_equal(first.rows, other.rows)


@pytest.mark.parametrize(
    "changes",
    [
        {"users": 0},
        {"interactions": 0},
        {"changes": 40},
        {"changes": -1},
        {"concentration": 0.0},
        {"noise": 2.0},
    ],
)
def test_what_cannot_be_simulated(changes):
    with pytest.raises(ValueError, match="histories: expected users and interactions >= 1"):
        HistoryWorld(**changes)


def test_a_class_without_texts():
    with pytest.raises(ValueError, match="pool: class 1 has no text"):
        simulate_histories(np.array([0, 2]), HistoryWorld(), seed=0)
