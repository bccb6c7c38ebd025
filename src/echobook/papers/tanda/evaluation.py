"""Scores to figures: rankings of a frame's questions, baselines without training, noise losses, tables."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from echobook.metrics.question_modes import Mode
from echobook.metrics.ranking import Ranking, Ties, rank_questions
from echobook.text.lexical import bm25, embedding_cosine, idf_overlap


def ranking(
    frame: pd.DataFrame, scores: Float[np.ndarray, " N"], *, mode: Mode = "clean", ties: Ties = "expected"
) -> Ranking:
    """Metrics of one frame's pairs, grouped by question id."""
    labels = frame["label"].to_numpy(dtype=np.int64)
    return rank_questions(frame["question_id"].tolist(), scores, labels, mode=mode, ties=ties)


def baseline_scores(
    frame: pd.DataFrame, encode: Callable[[Sequence[str]], Float[np.ndarray, "N D"]] | None = None
) -> dict[str, Float[np.ndarray, " N"]]:
    """Scores without training: ``random`` (all equal: ties are judged in expectation), idf overlap, BM25.

    With ``encode`` also ``cosine``, between the sentence vectors of question and candidate. Document
    frequencies are counted on the frame's distinct candidates.
    """
    questions, candidates = frame["question"].tolist(), frame["candidate"].tolist()
    scores = {
        "random": np.zeros(len(frame)),
        "idf-overlap": idf_overlap(questions, candidates),
        "bm25": bm25(questions, candidates),
    }
    if encode is not None:
        scores["cosine"] = embedding_cosine(encode(questions), encode(candidates))
    return scores


def relative_loss(clean: float, noisy: float) -> float:
    """Share of a figure that is lost: (clean - noisy) / clean."""
    return (clean - noisy) / clean


def table(rankings: Mapping[str, Ranking]) -> pd.DataFrame:
    """MAP, MRR, P@1 and NDCG of each row."""
    rows = {name: found.means() for name, found in rankings.items()}
    names = {"map": "MAP", "mrr": "MRR", "p1": "P@1", "ndcg": "NDCG"}
    return pd.DataFrame(rows).T.rename(columns=names).rename_axis("row").reset_index()
