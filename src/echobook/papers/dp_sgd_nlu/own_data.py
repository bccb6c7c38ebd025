"""A reader's own utterances: train a private tagger on a CSV, and say what it can and what it leaks.

The CSV has the columns ``utterance`` and ``intent``; slots are marked in the utterance, as in
``play [bohemian rhapsody](title) in the [kitchen](room)``.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from echobook.data.slots import SlotCorpus, Tagged, tag_characters
from echobook.data.text_files import read_columns
from echobook.data.types import DatasetUse, rows_digest
from echobook.data.unicode import nfc
from echobook.papers.dp_sgd_nlu.experiment import Bench, BiLSTMStart, Outcome
from echobook.papers.dp_sgd_nlu.material import Material, build_material
from echobook.papers.dp_sgd_nlu.training import Estimator, Schedule
from echobook.privacy.taps import PrivacyError

_SLOT = re.compile(r"\[([^\[\]]+)\]\(([^()]+)\)")
LEAST = 40  # rows: four parts of ten


def read_marked(text: str, intent: str, where: str) -> Tagged:
    """Words, tags and intent of one marked utterance; `where` names it in errors.

    Raises:
        PrivacyError: no words, no intent, or brackets that mark no slot.
    """
    plain, slots, place = "", [], 0
    for match in _SLOT.finditer(text):
        plain += text[place : match.start()]
        slots.append((len(plain), len(plain) + len(match.group(1)), match.group(2).strip()))
        plain += match.group(1)
        place = match.end()
    plain += text[place:]
    if set("[]") & set(plain):
        raise PrivacyError(f"{where}: expected slots as [words](slot), found {text!r}")
    if not plain.split() or not intent.strip():
        raise PrivacyError(f"{where}: expected an utterance and an intent, found {text!r} and {intent!r}")
    return tag_characters(plain, slots, nfc(intent.strip()))


def read_csv(path: Path) -> SlotCorpus:
    """Read the file.

    Raises:
        PrivacyError: missing file, slots that are marked wrongly (file and line named), fewer than 40 rows.
        MalformedRow: wrong header, a row that is not two filled fields; file and line are named.
    """
    if not path.is_file():
        raise PrivacyError(f"{path}: no such file; expected a CSV with the columns utterance and intent")
    rows = [
        read_marked(row["utterance"], row["intent"], f"{path}:{line}")
        for line, row in read_columns(path, ("utterance", "intent"))
    ]
    if len(rows) < LEAST:
        raise PrivacyError(f"{path}: expected at least {LEAST} utterances, found {len(rows)}")
    digest = rows_digest([*row.words, *row.tags, row.intent] for row in rows)
    use = DatasetUse(path.stem, "own", digest, "the reader's own", {"all": len(rows)}, path.name)
    return SlotCorpus(path.stem, {"all": rows}, use)


@dataclass(frozen=True)
class OwnResult:
    """What came out: a table of one row, the whole outcome, and the material with its parts."""

    table: pd.DataFrame
    outcome: Outcome
    material: Material


def train_privately(
    path: Path, estimator: Estimator, *, epochs: int = 10, lot: int = 20, rate: float = 3e-3, seed: int = 0
) -> OwnResult:
    """Deal a reader's CSV into members, others, dev and test (equal parts), train a biLSTM, and judge it.

    The table holds intent accuracy and span F1 on the test part, the threshold attack's AUC, and epsilon at
    a delta of 1 / (2 N), counted with the estimator's own sensitivity (infinite without noise)."""
    corpus = read_csv(path)
    size = sum(len(rows) for rows in corpus.splits.values()) // 4
    sizes = dict.fromkeys(("members", "others", "dev", "test"), size)
    material = build_material(corpus, sizes=sizes, canaries=0, seed=seed)
    schedule = Schedule(epochs, min(lot, size), rate)
    bench = Bench(material, BiLSTMStart(material, seed=seed), schedule, seed)
    outcome = bench.run(estimator)
    row = {
        "intent accuracy": float(np.mean(outcome.hits)),
        "span F1": outcome.f1,
        "attack AUC": outcome.last.attack.auc,
        "epsilon": bench.epsilon(estimator, delta=1 / (2 * size)),
    }
    return OwnResult(pd.DataFrame([row]), outcome, material)
