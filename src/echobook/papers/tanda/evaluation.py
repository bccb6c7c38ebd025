"""Scores to figures: rankings of a frame's questions, noise losses, tables."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float

from echobook.metrics.question_modes import Mode
from echobook.metrics.ranking import Ranking, Ties, rank_questions


def ranking(
    frame: pd.DataFrame, scores: Float[np.ndarray, " N"], *, mode: Mode = "clean", ties: Ties = "expected"
) -> Ranking:
    """Metrics of one frame's pairs, grouped by question id."""
    labels = frame["label"].to_numpy(dtype=np.int64)
    return rank_questions(frame["question_id"].tolist(), scores, labels, mode=mode, ties=ties)


def relative_loss(clean: float, noisy: float) -> float:
    """Share of a figure that is lost: (clean - noisy) / clean."""
    return (clean - noisy) / clean


def table(rankings: Mapping[str, Ranking]) -> pd.DataFrame:
    """MAP, MRR, P@1 and NDCG of each row."""
    rows = {name: found.means() for name, found in rankings.items()}
    names = {"map": "MAP", "mrr": "MRR", "p1": "P@1", "ndcg": "NDCG"}
    return pd.DataFrame(rows).T.rename(columns=names).rename_axis("row").reset_index()
