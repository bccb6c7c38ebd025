"""Rankings without training: chance, overlap weighted by rarity, BM25, and the cosine of sentence vectors."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from echobook.text.lexical import bm25, embedding_cosine, idf_overlap


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
