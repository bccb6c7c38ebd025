"""ADVIN's costs, printed: the agglomerative cut of 6000 points beside scikit-learn's, on the same points."""

import time

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering

from echobook.clustering.agglomerative import average_linkage, cut
from echobook.metrics.clustering import adjusted_rand_index

POINTS, FEATURES, CLASSES, HEIGHT = 6000, 128, 60, 0.8


def points():
    """Unit vectors around random centres."""
    rng = np.random.default_rng(0)
    labels = np.arange(POINTS) % CLASSES
    raw = rng.normal(size=(CLASSES, FEATURES))[labels] + 0.4 * rng.normal(size=(POINTS, FEATURES))
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def ours(vectors):
    return cut(average_linkage(vectors), HEIGHT)


def peer(vectors):
    options = {"n_clusters": None, "distance_threshold": HEIGHT, "linkage": "average"}
    return AgglomerativeClustering(**options).fit(vectors).labels_.astype(np.int64)


@pytest.mark.benchmark
@pytest.mark.slow
def test_agglomerative_cut(capsys):
    vectors, seconds, answers = points(), {ours: [], peer: []}, {}
    for _ in range(2):  # interleaved, so that both meet the same load
        for method in (ours, peer):
            started = time.process_time()
            answers[method] = method(vectors)
            seconds[method].append(time.process_time() - started)
    assert adjusted_rand_index(answers[peer], answers[ours]) == 1
    best, other = min(seconds[ours]), min(seconds[peer])
    with capsys.disabled():
        print(
            f"\nagglomerative cut, {POINTS} x {FEATURES}: ours {best:.2f} CPU-s, "
            f"scikit-learn {other:.2f} CPU-s, ratio {best / other:.2f} (bar 2)"
        )
