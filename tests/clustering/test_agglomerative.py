"""Agglomerative clustering: hand-worked tree, a naive oracle, invariances, refusals."""

from inspect import unwrap  # the run-time shape check would answer first

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering

from echobook.clustering.agglomerative import (
    UNASSIGNED,
    average_linkage,
    coverage,
    cut,
    cut_into,
    drop_small,
    height_grid,
    learn_threshold,
    merge_small,
    subsample,
)
from echobook.metrics.clustering import adjusted_rand_index

LINE = np.array([[0.0], [1.0], [4.0], [6.0]])


def naive_heights(vectors):
    """Heights of average linkage by looking at all pairs of groups each time."""
    groups, heights = [[k] for k in range(len(vectors))], []
    distance = lambda a, b: np.mean([np.linalg.norm(vectors[i] - vectors[j]) for i in a for j in b])  # noqa: E731
    while len(groups) > 1:
        pairs = [(distance(a, b), i, j) for i, a in enumerate(groups) for j, b in enumerate(groups) if i < j]
        height, i, j = min(pairs)
        heights.append(height)
        groups = [g for k, g in enumerate(groups) if k not in (i, j)] + [groups[i] + groups[j]]
    return heights


def blobs(seed, classes=5, each=8, spread=0.05):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, 6))
    labels = np.repeat(np.arange(classes), each)
    return centres[labels] + spread * rng.normal(size=(len(labels), 6)), labels


def test_hand_worked_tree():
    tree = average_linkage(LINE)
    assert tree[:, 2].tolist() == [1.0, 2.0, 4.5]
    assert cut(tree, 1.5).tolist() in ([0, 0, 1, 2], [0, 0, 2, 1])
    assert len(set(cut(tree, 2.0).tolist())) == 2
    assert len(set(cut_into(tree, 3).tolist())) == 3


@pytest.mark.parametrize("seed", range(8))
def test_heights_agree_with_the_naive_algorithm(seed):
    vectors = np.random.default_rng(seed).normal(size=(9, 3))
    assert average_linkage(vectors)[:, 2] == pytest.approx(naive_heights(vectors))


@pytest.mark.parametrize("seed", range(5))
def test_cut_agrees_with_scikit_learn(seed):
    vectors, _ = blobs(seed, spread=0.6)
    model = AgglomerativeClustering(n_clusters=None, distance_threshold=1.2, linkage="average").fit(vectors)
    assert adjusted_rand_index(model.labels_.astype(np.int64), cut(average_linkage(vectors), 1.2)) == 1


def test_order_of_rows_does_not_matter():
    vectors, _ = blobs(1, spread=0.5)
    order = np.random.default_rng(0).permutation(len(vectors))
    direct, shuffled = cut(average_linkage(vectors), 1.0), cut(average_linkage(vectors[order]), 1.0)
    assert adjusted_rand_index(direct[order], shuffled) == 1


def test_number_of_clusters_falls_with_the_height():
    tree = average_linkage(blobs(2)[0])
    counts = [len(np.unique(cut(tree, height))) for height in height_grid(tree)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 1


def test_threshold_is_learned_and_transfers():
    vectors, labels = blobs(3)
    threshold = learn_threshold(vectors, labels)
    assert threshold.score == 1
    assert len(threshold.grid) == 60
    other, classes = blobs(4)
    assert adjusted_rand_index(classes, cut(average_linkage(other), threshold.height)) == 1
    middle = learn_threshold(LINE, np.array([0, 0, 1, 1])).height
    assert 2.8 < middle < 3.7  # far from both wrong cuts, 2 and 4.5


def test_small_clusters():
    clusters = np.array([0, 0, 0, 1, 2, 2, 2])
    vectors = np.array([[0.0], [0.1], [0.2], [4.9], [5.0], [5.1], [5.2]])
    dropped = drop_small(clusters)
    assert dropped.tolist() == [0, 0, 0, UNASSIGNED, 1, 1, 1]
    assert coverage(dropped) == pytest.approx(6 / 7)
    assert merge_small(clusters, vectors).tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert merge_small(np.arange(4), LINE).tolist() == [0, 0, 0, 0]


def test_subsample():
    assert subsample(5, limit=9, seed=0).tolist() == [0, 1, 2, 3, 4]
    drawn = subsample(100, limit=10, seed=1)
    assert len(set(drawn.tolist())) == 10
    assert drawn.tolist() == subsample(100, limit=10, seed=1).tolist() == sorted(drawn.tolist())


def test_refusals():
    with pytest.raises(ValueError, match="at least 2 rows, found 1"):
        average_linkage(LINE[:1])
    with pytest.raises(ValueError, match="the limit is 3"):
        average_linkage(LINE, limit=3)
    with pytest.raises(ValueError, match="row 1 holds a value that is not finite"):
        average_linkage(np.array([[0.0], [np.inf]]))
    with pytest.raises(ValueError, match="one class only"):
        learn_threshold(LINE, np.zeros(4, dtype=int))
    with pytest.raises(ValueError, match="labels: 2 for 4 vectors"):
        unwrap(learn_threshold)(LINE, np.array([0, 1]))
    with pytest.raises(ValueError, match="clusters: expected 1 to 4, found 5"):
        cut_into(average_linkage(LINE), 5)
    with pytest.raises(ValueError, match="points"):
        height_grid(average_linkage(LINE), 1)
    with pytest.raises(ValueError, match="limit"):
        subsample(5, limit=0, seed=0)
