"""k-means and the estimate of K."""

import numpy as np
import pytest

from echobook.clustering.kmeans_estimate import estimate_clusters, k_means, large_clusters
from echobook.metrics.clustering import adjusted_rand_index


def blobs(classes=4, each=30, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    return 10 * np.eye(classes)[labels] + 0.1 * rng.normal(size=(classes * each, classes)), labels


def test_hand_worked_count():
    # 20 members in 4 clusters: 5 expected, 4.5 needed.
    assert large_clusters(np.array([9, 5, 4, 2]), total=20) == 2
    assert large_clusters(np.array([9, 5, 4, 2]), total=20, share=0.8) == 3
    assert large_clusters(np.array([0, 0]), total=20) == 1


def test_k_means_finds_blobs_and_repeats():
    vectors, labels = blobs()
    found = k_means(vectors, 4, seed=3)
    assert adjusted_rand_index(labels, found) == 1
    assert found.tolist() == k_means(vectors, 4, seed=3).tolist()


def test_estimate_is_consistent():
    vectors, labels = blobs()
    found = estimate_clusters(vectors, largest=6, seed=0)
    assert len(np.unique(found.clusters)) == found.count
    assert 2 <= found.count <= 6
    assert estimate_clusters(vectors, largest=4, seed=0).count == 4
    assert adjusted_rand_index(labels, estimate_clusters(vectors, largest=4, seed=0).clusters) == 1


def test_refusal():
    with pytest.raises(ValueError, match="expected 1 to 3"):
        k_means(np.eye(3), 4, seed=0)
