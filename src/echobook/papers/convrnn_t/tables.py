"""From word errors per utterance to the figures of the chapter."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from echobook.metrics.wer import ErrorCounts, PairedComparison, paired_comparison, total, wer_by_group

Scores = Mapping[str, Mapping[str, Sequence[ErrorCounts]]]  # model -> test set -> utterances


def item_scores(counts: Sequence[ErrorCounts]) -> dict[str, Any]:
    """Errors over words of each utterance and the words as weights: their weighted mean is the WER."""
    return {"items": [c.errors / c.words for c in counts], "weights": [c.words for c in counts]}


def wer_frame(scores: Scores) -> pd.DataFrame:
    """WER of each model (rows) on each test set (columns)."""
    rows = {m: {name: total(c).rate for name, c in sets.items()} for m, sets in scores.items()}
    return pd.DataFrame(rows).T.rename_axis("model").reset_index()


def against(scores: Scores, reference: str, test: str, *, seed: int) -> dict[str, PairedComparison]:
    """The reference model against each other one on one test set: paired bootstrap over utterances."""
    return {
        other: paired_comparison(scores[reference][test], sets[test], seed=seed)
        for other, sets in scores.items()
        if other != reference
    }


def by_speaker(scores: Scores, speakers: Sequence[str], test: str) -> pd.DataFrame:
    """WER of each speaker (rows, sorted) by each model (columns) on one test set."""
    columns = {
        model: wer_by_group(sets[test], speakers).set_index("group")["wer"] for model, sets in scores.items()
    }
    return pd.DataFrame(columns).rename_axis("speaker").reset_index()
