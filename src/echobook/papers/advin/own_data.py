"""The entry point for a user's own utterances: all stages in one call.

    found = discover(utterances, labels, unlabelled, encode=SentenceEncoder().encode, seed=0)

`utterances` and `labels` are what is labelled today (at least four intents), `unlabelled` is the pool to look
through. `encode` maps a list of texts to one vector of length one a row. The novelty threshold and the
distance threshold are both chosen on labelled intents that are kept out of training, so no other data are
needed; labelled out-of-domain utterances, where there are some, go in as `proxies`. The result is a table
with one row for each unlabelled utterance. Memory grows with the square of the utterances flagged as new:
6000 are allowed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int

from echobook.clustering.agglomerative import learn_threshold
from echobook.metrics.open_set import best_threshold
from echobook.papers.advin.losses import PairwiseMarginLoss
from echobook.papers.advin.material import OPEN, codes, split_intents
from echobook.papers.advin.method import (
    IntentHead,
    ResidualProjection,
    cluster_pool,
    filter_proxies,
    novelty,
    probabilities,
    project,
)
from echobook.papers.advin.training import fit_head, held_out_ari, train_projection

Encode = Callable[[list[str]], np.ndarray]
FEWEST = 3


@dataclass(frozen=True)
class Detector:
    """A trained head over known intents, and the novelty score above which an intent is new."""

    head: IntentHead
    classes: int
    threshold: float

    def answer(
        self, vectors: Float[np.ndarray, "N D"]
    ) -> tuple[Float[np.ndarray, " N"], Int[np.ndarray, " N"]]:
        """Return the novelty score and the best known class (OPEN where the score is above the threshold)."""
        scores = probabilities(self.head, torch.from_numpy(vectors), classes=self.classes)
        new = novelty(scores)
        return new, np.where(new > self.threshold, OPEN, scores.argmax(axis=1))


def _check(utterances: Sequence[str], labels: Sequence[str], unlabelled: Sequence[str]) -> None:
    if len(utterances) != len(labels):
        raise ValueError(f"labels: expected {len(utterances)} (one an utterance), found {len(labels)}")
    if len(unlabelled) < 2:
        raise ValueError(f"unlabelled: expected at least 2 utterances, found {len(unlabelled)}")
    counts = pd.Series(list(labels), dtype="str").value_counts()
    rare = counts[counts < FEWEST]
    if len(rare):
        raise ValueError(
            f"labels: {rare.index[0]!r} has {rare.iloc[0]} utterances, expected at least {FEWEST}"
        )
    if len(counts) < 4:
        raise ValueError(
            f"labels: {len(counts)} intents, expected at least 4 (two to train, two for the threshold)"
        )
    empty = [number for number, text in enumerate([*utterances, *unlabelled]) if not text.strip()]
    if empty:
        raise ValueError(f"utterances: row {empty[0]} (labelled first, then unlabelled) is empty")


def _fit_detector(
    vectors: Float[np.ndarray, "N D"],
    labels: Int[np.ndarray, " N"],
    training: int,
    proxies: Float[np.ndarray, "M D"] | None,
    generator: torch.Generator,
    rng: np.random.Generator,
) -> Detector:
    """Choose the novelty threshold with the held-out intents as unseen ones, then train on all intents."""
    seen = labels < training
    checked = seen & (rng.random(len(labels)) < 0.2)
    rehearsal = fit_head(
        vectors[seen & ~checked], labels[seen & ~checked], generator=generator, proxies=proxies
    )
    judged = checked | ~seen
    scores = probabilities(rehearsal, torch.from_numpy(vectors[judged]), classes=training)
    threshold = best_threshold(novelty(scores), ~seen[judged])
    head = fit_head(vectors, labels, generator=generator, proxies=proxies)
    return Detector(head, int(labels.max()) + 1, threshold)


def discover(
    utterances: Sequence[str],
    labels: Sequence[str],
    unlabelled: Sequence[str],
    *,
    encode: Encode,
    seed: int,
    proxies: Sequence[str] = (),
    loss: torch.nn.Module | None = None,
    minimum: int = 3,
    epochs: int = 20,
) -> pd.DataFrame:
    """Return a table of the unlabelled utterances: text, novelty, known intent, new cluster.

    Columns: `text`; `novelty` in [0, 1]; `intent`, the best known intent, empty where the utterance is new;
    `cluster`, the number of the new intent, -1 where the utterance is known or its cluster has fewer than
    `minimum` members. The same seed gives the same table. Raises ValueError, naming the row or intent, for
    fewer than four intents, intents with fewer than three utterances, empty texts and unequal lengths.
    """
    _check(utterances, labels, unlabelled)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # initial weights and dropout
        return _discover(utterances, labels, unlabelled, encode, seed, proxies, loss, minimum, epochs)


def _discover(
    utterances: Sequence[str],
    labels: Sequence[str],
    unlabelled: Sequence[str],
    encode: Encode,
    seed: int,
    proxies: Sequence[str],
    loss: torch.nn.Module | None,
    minimum: int,
    epochs: int,
) -> pd.DataFrame:
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    names = pd.Series(list(labels), dtype="str")
    split = split_intents(pd.Series("", index=sorted(set(names)), dtype="str"), seed=seed)
    split = type(split)(split.training + split.novel, split.threshold, ())
    known = np.asarray(encode(list(utterances)), dtype=np.float32)
    pool = np.asarray(encode(list(unlabelled)), dtype=np.float32)
    number, training = codes(names, split.known), len(split.training)
    stand_ins = np.asarray(encode(list(proxies)), dtype=np.float32) if len(proxies) else None
    if stand_ins is not None:
        stand_ins = stand_ins[filter_proxies(stand_ins, known, number).kept]
    detector = _fit_detector(known, number, training, stand_ins, generator, rng)
    scores, answers = detector.answer(pool)
    held = number >= training
    projection = ResidualProjection(known.shape[1])
    stop = held_out_ari(known[held], number[held])
    train_projection(
        projection,
        loss or PairwiseMarginLoss(),
        known[~held],
        number[~held],
        generator=generator,
        stop=stop,
        epochs=epochs,
        learning_rate=2e-4,
    )
    height = learn_threshold(project(projection, known[held]), number[held]).height
    clusters = np.full(len(pool), -1, dtype=np.int64)
    flagged = np.flatnonzero(answers == OPEN)
    if len(flagged) >= 2:
        clusters[flagged] = cluster_pool(project(projection, pool[flagged]), height, minimum=minimum).assigned
    intents = [split.known[answer] if answer != OPEN else "" for answer in answers]
    return pd.DataFrame({"text": list(unlabelled), "novelty": scores, "intent": intents, "cluster": clusters})
