"""Clustering agreement: hand-worked values, scikit-learn as oracle, invariances, refusals."""

from inspect import unwrap  # the run-time shape check would answer first
from itertools import combinations, permutations

import numpy as np
import pytest
from sklearn import metrics as peer

from echobook.metrics.clustering import (
    adjusted_rand_index,
    clustering_accuracy,
    clustering_scores,
    contingency,
    normalised_mutual_information,
    pair_f1,
    relative_count_error,
)

TRUTH, CLUSTERS = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])


def draw(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 60))
    return rng.integers(0, rng.integers(1, 6) + 1, size), rng.integers(0, rng.integers(1, 9) + 1, size)


def test_hand_worked_values():
    # Pairs: 2 in truth, 3 in clusters, 1 in both, 6 in all: expected 2 * 3 / 6 = 1, so ARI = 0 / 1.5 = 0.
    assert adjusted_rand_index(TRUTH, CLUSTERS) == 0
    assert clustering_accuracy(TRUTH, CLUSTERS) == 0.75
    assert pair_f1(TRUTH, CLUSTERS) == pytest.approx(2 * 1 / 5)
    assert contingency(TRUTH, CLUSTERS).tolist() == [[2, 0], [1, 1]]
    assert relative_count_error(3, 4) == 0.25


@pytest.mark.parametrize("seed", range(40))
def test_agrees_with_scikit_learn(seed):
    truth, clusters = draw(seed)
    # Both in float64; a few roundings apart.
    assert adjusted_rand_index(truth, clusters) == pytest.approx(
        peer.adjusted_rand_score(truth, clusters), abs=1e-12
    )
    expected = peer.normalized_mutual_info_score(truth, clusters, average_method="arithmetic")
    assert normalised_mutual_information(truth, clusters) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(15))
def test_accuracy_and_pairs_by_enumeration(seed):
    rng = np.random.default_rng(seed)
    truth, clusters = rng.integers(0, 4, 12), rng.integers(0, 4, 12)
    best = max(np.mean(np.array(order)[clusters] == truth) for order in permutations(range(4)))
    assert clustering_accuracy(truth, clusters) == pytest.approx(best)
    pairs = list(combinations(range(12), 2))
    together = {(i, j) for i, j in pairs if clusters[i] == clusters[j]}
    wanted = {(i, j) for i, j in pairs if truth[i] == truth[j]}
    assert pair_f1(truth, clusters) == pytest.approx(
        2 * len(together & wanted) / (len(together) + len(wanted))
    )


@pytest.mark.parametrize("seed", range(10))
def test_names_and_order_do_not_matter(seed):
    truth, clusters = draw(seed)
    order = np.random.default_rng(seed).permutation(len(truth))
    renamed = clustering_scores(truth[order] + 7, 100 - clusters[order])
    assert renamed == pytest.approx(clustering_scores(truth, clusters))


def test_limits():
    one, apart = np.zeros(5, dtype=int), np.arange(5)
    assert clustering_scores(apart, apart) == {"ari": 1, "nmi": pytest.approx(1), "accuracy": 1}
    assert adjusted_rand_index(one, one) == normalised_mutual_information(one, one) == 1
    assert pair_f1(apart, apart) == 1
    assert adjusted_rand_index(one, apart) == 0
    single = np.array([0])
    assert adjusted_rand_index(single, single) == 1


def test_refusals():
    with pytest.raises(ValueError, match="expected 4 entries"):
        unwrap(contingency)(TRUTH, np.array([0]))
    with pytest.raises(ValueError, match="no items"):
        contingency(np.array([], dtype=int), np.array([], dtype=int))
    with pytest.raises(ValueError, match="true: expected at least 1"):
        relative_count_error(1, 0)
