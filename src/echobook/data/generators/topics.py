"""Short utterances of forty words about twenty intents, from a seed: the smallest world with something to
learn.

Each intent has its own distribution over the forty words, drawn from Dirichlet(blur, ..., blur); an
utterance is a handful of words drawn from it. Small ``blur``: intents have few words each and are easy to
tell apart; large ``blur``: all intents have the same words (1 is hard, 100 hopeless). Who holds which
utterance is not decided here, see :mod:`echobook.data.generators.devices`. The words are this file's own.
"""

import numpy as np
import pandas as pd

from echobook.data.types import DatasetUse, rows_digest

VERSION = "1"
WORDS = (
    "lamp", "door", "kettle", "window", "garden", "train", "ticket", "letter", "coat", "spoon",
    "river", "bridge", "apple", "bread", "market", "violin", "drum", "song", "paint", "brush",
    "stone", "rope", "sail", "harbour", "cloud", "storm", "candle", "match", "ladder", "roof",
    "wheel", "saddle", "map", "tower", "clock", "mirror", "blanket", "pillow", "basket", "button",
)  # fmt: skip
LONGEST, SHORTEST = 7, 3


def generate_topics(
    *, seed: int, intents: int = 20, train: int = 200, test: int = 50, blur: float = 0.25
) -> tuple[pd.DataFrame, DatasetUse]:
    """Utterances with columns text, intent and split; and what was used, for the results file.

    Args:
        seed: of words and utterances.
        intents: number of intents, >= 2.
        train, test: utterances of each intent in each split, >= 1.
        blur: > 0; see the module's text.

    Raises:
        ValueError: an argument outside its range.
    """
    if intents < 2 or min(train, test) < 1 or not blur > 0:
        raise ValueError(
            "topics: expected intents >= 2, train and test >= 1, blur > 0; got "
            f"{intents}, {train}, {test}, {blur}"
        )
    rng = np.random.default_rng((seed, 7))
    habits = rng.dirichlet(np.full(len(WORDS), blur), intents)
    rows = [
        (_utterance(habits[intent], rng), f"intent-{intent:02d}", "train" if number < train else "test")
        for intent in range(intents)
        for number in range(train + test)
    ]
    frame = pd.DataFrame(rows, columns=["text", "intent", "split"])
    counts = {split: int((frame["split"] == split).sum()) for split in ("train", "test")}
    version = f"{VERSION}, seed {seed}, blur {blur:g}"
    use = DatasetUse("generated topics", version, rows_digest(rows), "CC0-1.0 (generated)", counts, __name__)
    return frame, use


def _utterance(habit: np.ndarray, rng: np.random.Generator) -> str:
    length = int(rng.integers(SHORTEST, LONGEST + 1))
    return " ".join(WORDS[place] for place in rng.choice(len(WORDS), length, p=habit))
