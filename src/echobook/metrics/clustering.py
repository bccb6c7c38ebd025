"""Agreement between found clusters and true classes.

From the contingency table n_kc (true class k, cluster c; row sums a_k, column sums b_c, N in all):

    NMI  = I(Y; C) / ((H(Y) + H(C)) / 2)                    arithmetic mean, as scikit-learn and TEXTOIR
    ARI  = (sum C(n_kc, 2) - E) / ((sum C(a_k, 2) + sum C(b_c, 2)) / 2 - E),
           E = sum C(a_k, 2) * sum C(b_c, 2) / C(N, 2)
    ACC  = max over one-to-one maps pi of  sum_k n_k,pi(k) / N   (Hungarian algorithm)
    edge F1: precision and recall over pairs of items; a pair is positive when both share a class

ARI is the main figure: it is zero for random clusters, while NMI rewards splitting and ACC punishes it.
Counts are in float64 (exact below 2^53 pairs). Time O(N + K C) but for ACC, O(max(K, C)^3).
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.special import xlogy

Labels = Int[np.ndarray, " N"]


def contingency(truth: Int[np.ndarray, " N"], clusters: Int[np.ndarray, " N"]) -> Float[np.ndarray, "K C"]:
    """Return the table of counts, true classes in rows and clusters in columns, both in sorted order."""
    if len(truth) != len(clusters):
        raise ValueError(f"clusters: expected {len(truth)} entries (as truth), found {len(clusters)}")
    if len(truth) == 0:
        raise ValueError("truth: no items; agreement of nothing is undefined")
    _, rows = np.unique(truth, return_inverse=True)
    _, columns = np.unique(clusters, return_inverse=True)
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    return table


def _pairs(counts: Float[np.ndarray, "..."]) -> float:
    return float(np.sum(counts * (counts - 1)) / 2)


def adjusted_rand_index(truth: Int[np.ndarray, " N"], clusters: Int[np.ndarray, " N"]) -> float:
    """Return the adjusted Rand index: 1 for equal partitions, about 0 for random ones, may be negative."""
    table = contingency(truth, clusters)
    together, in_truth, in_clusters = _pairs(table), _pairs(table.sum(1)), _pairs(table.sum(0))
    total = _pairs(np.array([float(len(truth))]))
    expected = in_truth * in_clusters / total if total else 0.0
    largest = (in_truth + in_clusters) / 2
    # Both partitions all in one group or all apart: equal, so 1.
    return 1.0 if largest == expected else (together - expected) / (largest - expected)


def _entropy(counts: Float[np.ndarray, " K"]) -> float:
    shares = counts / counts.sum()
    return float(-xlogy(shares, shares).sum())


def normalised_mutual_information(truth: Int[np.ndarray, " N"], clusters: Int[np.ndarray, " N"]) -> float:
    """Return mutual information over the arithmetic mean of both entropies; 1 if both have one class."""
    table = contingency(truth, clusters)
    of_truth, of_clusters = _entropy(table.sum(1)), _entropy(table.sum(0))
    if of_truth + of_clusters == 0:
        return 1.0
    mutual = of_truth + of_clusters - _entropy(table.ravel())
    return max(0.0, mutual) / ((of_truth + of_clusters) / 2)


def clustering_accuracy(truth: Int[np.ndarray, " N"], clusters: Int[np.ndarray, " N"]) -> float:
    """Return the share of items right under the best one-to-one map from clusters to classes."""
    table = contingency(truth, clusters)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum() / len(truth))


def relative_count_error(found: int, true: int) -> float:
    """Return |found - true| / true, the relative error of an estimated number of clusters."""
    if true < 1:
        raise ValueError(f"true: expected at least 1, found {true}")
    return abs(found - true) / true


def pair_f1(truth: Int[np.ndarray, " N"], clusters: Int[np.ndarray, " N"]) -> float:
    """Return the F1 score of the pairs put together; 1 if neither partition has a pair."""
    table = contingency(truth, clusters)
    together, in_truth, in_clusters = _pairs(table), _pairs(table.sum(1)), _pairs(table.sum(0))
    return 1.0 if in_truth + in_clusters == 0 else 2 * together / (in_truth + in_clusters)


def clustering_scores(truth: Int[np.ndarray, " N"], clusters: Int[np.ndarray, " N"]) -> dict[str, float]:
    """Return ARI, NMI and accuracy under the names used in tables."""
    return {
        "ari": adjusted_rand_index(truth, clusters),
        "nmi": normalised_mutual_information(truth, clusters),
        "accuracy": clustering_accuracy(truth, clusters),
    }
