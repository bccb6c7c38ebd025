"""Scores of found intents, those of stage II alone and with the errors of stage I, and their table."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Int

from echobook.metrics.clustering import adjusted_rand_index, clustering_scores, relative_count_error
from echobook.papers.advin.method import Discovery


def discovery_scores(truth: Int[np.ndarray, " N"], found: Discovery) -> dict[str, float]:
    """Return ARI, NMI, ACC of all utterances (small clusters merged), K found, its error, coverage."""
    known = len(np.unique(truth))
    assigned = found.assigned >= 0
    inside = adjusted_rand_index(truth[assigned], found.assigned[assigned]) if assigned.any() else 0.0
    return clustering_scores(truth, found.merged) | {
        "found": float(found.count),
        "k-error": relative_count_error(found.count, known),
        "coverage": found.coverage,
        "ari-assigned": inside,
    }


def end_to_end_ari(
    truth: Int[np.ndarray, " N"], flagged: Int[np.ndarray, " F"], clusters: Int[np.ndarray, " F"]
) -> float:
    """Return the ARI over flagged and novel utterances, both stages' errors counted.

    `truth` holds novel classes from 0 and -1 for known intents; `flagged` are positions, `clusters` their
    clusters. A known utterance that leaked into the pool is a class of its own, so whatever cluster it joins
    is wrong; a novel utterance that was not flagged is a cluster of its own.
    """
    answers = -np.arange(1, len(truth) + 1)
    answers[flagged] = clusters
    classes = np.where(truth == -1, -np.arange(1, len(truth) + 1), truth)
    taking_part = truth != -1
    taking_part[flagged] = True
    return adjusted_rand_index(classes[taking_part], answers[taking_part])


def table(scores: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Return scores as a table: a row for each method, in order."""
    return pd.DataFrame(list(scores.values()), index=pd.Index(scores, name="method"))
