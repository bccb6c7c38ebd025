"""A reader's own questions and candidates: one call from a CSV to a ranked CSV and MAP.

    ranked = rank_csv(Path("mine.csv"), Path("ranked.csv"), bench, recipe)

The CSV has the columns question, candidate and label (0 or 1), and optionally question_id.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from echobook.data.qa import read_candidates
from echobook.metrics.ranking import Ranking
from echobook.papers.tanda.evaluation import ranking
from echobook.papers.tanda.method import Bench
from echobook.text.heads import Classifier


@dataclass(frozen=True)
class Ranked:
    """What :func:`rank_csv` leaves.

    Attributes:
        frame: question_id, question, candidate, label, score, rank (1 is best), best first within a question.
        result: MAP and its companions over the questions with a right and a wrong candidate; None if no
            question has both.
        truncated: pairs that were longer than the model reads and were cut.
    """

    frame: pd.DataFrame
    result: Ranking | None
    truncated: int


def rank_csv(source: Path, target: Path, bench: Bench, model: Classifier) -> Ranked:
    """Rank the candidates of each question of a CSV with a trained model and write them to ``target``.

    Args:
        source: CSV with question, candidate, label and optionally question_id.
        target: CSV to write; an existing one is replaced.
        bench: whose tokenizer, cut and precision are used.
        model: from :meth:`echobook.papers.tanda.method.Bench.train`.

    Raises:
        echobook.data.text_files.MalformedRow: a file that cannot be meant; file and line are named.
    """
    frame = read_candidates(source)
    bench.frames["own"] = frame
    bench.forget("own")
    scores = bench.score(model, "own")
    mixed = frame.groupby("question_id")["label"].nunique().max() > 1
    result = ranking(frame, scores) if mixed else None
    first = {id_: number for number, id_ in enumerate(dict.fromkeys(frame["question_id"]))}
    ranked = frame.drop(columns="split").assign(score=scores)
    ranked["rank"] = ranked.groupby("question_id")["score"].rank(ascending=False, method="first").astype(int)
    order = ranked.assign(first=ranked["question_id"].map(first)).sort_values(["first", "rank"]).index
    ranked = ranked.loc[order].reset_index(drop=True)
    ranked.to_csv(target, index=False)
    return Ranked(ranked, result, bench.truncated["own"])
