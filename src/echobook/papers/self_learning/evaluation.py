"""Judging a rewrite table on first requests that mining never heard, and the baselines to beat.

defect         a request whose interpretation is not the user's goal
defect cut     (defects without - defects with) / defects without, on all or on rewritten traffic
wins, losses   requests put right and put wrong; per pair: texts whose success rose or fell
coverage       defective requests put right / defective requests
precision      rewritten requests that end at the goal / rewritten requests
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer

from echobook.papers.self_learning.guardrails import sound_key
from echobook.papers.self_learning.mining import SessionGraph
from echobook.papers.self_learning.users import Catalogue


def judge(requests: pd.DataFrame, table: Mapping[str, str], understanding: Mapping[str, str]) -> pd.DataFrame:
    """Per request: success without (`before`) and with the table (`after`), and whether it was rewritten.

    requests: simulated first turns without rewriting (columns text, goal, success).
    """
    said = [table.get(text, text) for text in requests.text]
    frames = [understanding.get(text, "") for text in said]
    rewritten = np.array([a != b for a, b in zip(said, requests.text, strict=True)], dtype=bool)
    reached = np.array([f == g for f, g in zip(frames, requests.goal, strict=True)], dtype=bool)
    before = requests.success.to_numpy(dtype=bool)
    after = np.where(rewritten, reached, before)
    return pd.DataFrame({"text": requests.text, "before": before, "after": after, "rewritten": rewritten})


def measures(judged: pd.DataFrame) -> dict[str, float]:
    """The chapter's measures; ratios of wins to losses count at least one loss, so they are finite."""
    gain = judged.after.astype(int) - judged.before.astype(int)
    pairs = gain[judged.rewritten].groupby(judged.text[judged.rewritten]).sum()
    wins, losses, defects = int((gain > 0).sum()), int((gain < 0).sum()), int((~judged.before).sum())
    touched = judged[judged.rewritten]
    touched_defects = int((~touched.before).sum())
    return {
        "win-loss-pairs": float((pairs > 0).sum()) / max(1, int((pairs < 0).sum())),
        "win-loss-traffic": wins / max(1, losses),
        "defect-cut": (wins - losses) / max(1, defects),
        "defect-cut-triggered": (wins - losses) / max(1, touched_defects),
        "coverage": wins / max(1, defects),
        "precision": float(touched.after.mean()) if len(touched) else 0.0,
        "trigger-rate": float(judged.rewritten.mean()),
        "pairs": float(len(pairs)),
    }


def nearest_successful(
    graph: SessionGraph, *, min_texts: int = 8, similarity: float = 0.6, by_sound: bool = False
) -> dict[str, str]:
    """Baseline: the most similar text (character 3-grams, cosine) among those that mostly succeed.

    by_sound compares the words' rough sounds (`sound_key`) instead of their letters.
    """
    heard = np.asarray(graph.readings.sum(axis=1)).ravel()
    share = np.asarray(graph.readings @ (graph.good / np.maximum(graph.seen, 1.0))) / heard
    texts = np.array(graph.texts, dtype=object)
    good, bad = (
        np.flatnonzero((share >= 0.7) & (heard >= min_texts)),
        np.flatnonzero((share < 0.5) & (heard >= min_texts)),
    )
    if good.size == 0 or bad.size == 0:
        return {}
    vectors = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(3, 3), preprocessor=_sounds if by_sound else None
    )
    vectors.fit(texts)
    close = (vectors.transform(texts[bad]) @ vectors.transform(texts[good]).T).toarray()
    best = close.argmax(axis=1)
    pairs = zip(bad, good[best], close.max(axis=1), strict=True)
    return {str(texts[b]): str(texts[g]) for b, g, c in pairs if c >= similarity}


def _sounds(text: str) -> str:
    return " ".join(sound_key(word) for word in text.split())


def oracle(requests: pd.DataFrame, shop: Catalogue) -> dict[str, str]:
    """Upper bound of any context-free table: each text goes to the goal most of its users want."""
    wanted = requests.groupby(["text", "goal"]).size().reset_index(name="n").sort_values(["n", "goal"])
    goal = dict(zip(wanted.text, wanted.goal, strict=True))
    wording = {frame: text for text, frame in shop.understanding.items()}
    return {
        text: wording[target]
        for text, target in goal.items()
        if target in wording and shop.understanding.get(text) != target
    }
