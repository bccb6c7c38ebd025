"""Transfer pairs from SQuAD's sentences: a question, its own sentence, and other sentences as negatives.

The files are those of Du et al. (2017): line i of ``src-*.txt`` is a sentence, line i of ``tgt-*.txt`` the
question that it answers; lines follow the order of the articles. Words are lower-cased and tokenised;
brackets and quotes are restored. Where the answer stands in the sentence is not in these files,
so a negative that repeats the answer by chance cannot be told from another one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from echobook.data.fetch import fetch
from echobook.data.qa import Row, numbered_lines, to_frame
from echobook.data.registry import public_use
from echobook.data.text_files import MalformedRow
from echobook.data.types import DatasetUse
from echobook.data.unicode import nfc

_BRACKETS = {"-lrb-": "(", "-rrb-": ")", "-lsb-": "[", "-rsb-": "]", "-lcb-": "{", "-rcb-": "}"}
_RESTORED = _BRACKETS | {"``": '"', "''": '"'}


def read_sentence_pairs(folder: Path, part: str) -> list[tuple[str, str]]:
    """(sentence, question) of each line of ``src-<part>.txt`` and ``tgt-<part>.txt``, words restored.

    Raises:
        MalformedRow: an empty line, or files of unequal length.
    """
    sides = []
    for side in ("src", "tgt"):
        path = folder / f"{side}-{part}.txt"
        lines = [(number, restore(line)) for number, line in numbered_lines(path)]
        if empty := [number for number, line in lines if not line]:
            raise MalformedRow(path, empty[0], "a sentence", "")
        sides.append([line for _, line in lines])
    if len(sides[0]) != len(sides[1]):
        raise MalformedRow(path, min(map(len, sides)) + 1, f"{len(sides[0])} lines, as in src", len(sides[1]))
    return list(zip(*sides, strict=True))


def restore(text: str) -> str:
    """Undo Penn Treebank brackets and quotes; collapse white space."""
    return " ".join(_RESTORED.get(word, word) for word in text.split())


def transfer_pairs(
    pairs: Sequence[tuple[str, str]],
    *,
    negatives: int = 3,
    window: int = 25,
    kind: Literal["near", "random"] = "near",
    questions: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Question-candidate rows from (sentence, question) pairs that follow the order of their articles.

    Each question gets its own sentence (label 1) and ``negatives`` other distinct sentences (label 0): from
    the ``window`` lines on either side (``near``: mostly the same article) or from all lines (``random``).
    A sentence of any line with the same question is never a negative of it.

    Args:
        questions: draw this many lines without replacement; all by default.

    Returns:
        frame with :data:`COLUMNS`, split ``transfer``, question ids ``squad-<line>``.

    Raises:
        ValueError: a number out of range, or too few distinct sentences for the negatives.
    """
    if negatives < 1 or window < 1 or not 1 <= (questions or 1) <= len(pairs):
        raise ValueError(
            f"expected negatives >= 1, window >= 1 and questions in 1..{len(pairs)}, "
            f"got {negatives}, {window} and {questions}"
        )
    pairs = [(nfc(sentence), nfc(question)) for sentence, question in pairs]
    random = np.random.default_rng(seed)
    lines = np.sort(random.permutation(len(pairs))[: questions or len(pairs)]).tolist()
    own: dict[str, set[str]] = {}
    for sentence, question in pairs:
        own.setdefault(question, set()).add(sentence)
    every = list(dict.fromkeys(sentence for sentence, _ in pairs))
    rows: list[Row] = []
    for line in lines:
        sentence, question = pairs[line]
        near = pairs[max(0, line - window) : line + window + 1]
        pool = list(dict.fromkeys(text for text, _ in near)) if kind == "near" else every
        pool = [text for text in pool if text not in own[question]]
        if len(pool) < negatives:
            raise ValueError(f"line {line + 1}: {len(pool)} other sentences for {negatives} negatives")
        drawn = [pool[i] for i in random.choice(len(pool), size=negatives, replace=False)]
        id_ = f"squad-{line + 1}"
        rows += [(line, id_, question, sentence, 1), *((line, id_, question, text, 0) for text in drawn)]
    return to_frame({"transfer": rows})


def load_squad_nqg(part: Literal["dev", "test"] = "dev") -> tuple[list[tuple[str, str]], DatasetUse]:
    """(sentence, question) pairs of SQuAD 1.1 and what was used.

    Args:
        part: ``dev`` is SQuAD's development set (10,570 pairs); ``test`` was cut from its training set
            (11,877 pairs), which general sentence encoders have often seen.
    """
    if part not in ("dev", "test"):
        raise ValueError(f"part: expected 'dev' or 'test', got {part!r}")
    files = (f"src-{part}.txt", f"tgt-{part}.txt")
    pairs = read_sentence_pairs(fetch("squad_nqg", files=files), part)
    return pairs, public_use("squad_nqg", {part: len(pairs)}, files)
