"""The chapter's data: training frames, evaluation frames, and the frames of the controls made from them.

Names of frames: ``transfer`` (``transfer-random`` with negatives from anywhere, ``transfer-shuffled`` with
permuted labels); for each target ``<target>-all`` (training), ``<target>`` (a sample), ``<target>-dev``,
``<target>-test``; for the target of the ablations ``<target>-noise-<percent>`` and ``<target>-merged``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int

from echobook.data.generators.facts import fact_world
from echobook.data.qa import QACorpus, load_trecqa, load_wikiqa
from echobook.data.qa_transfer import load_squad_nqg, transfer_pairs
from echobook.data.types import DatasetUse
from echobook.metrics.question_modes import Mode, mode_mask

TRANSFER_QUESTIONS = 2500
NEGATIVES = 3


@dataclass(frozen=True)
class Material:
    """What a run of the chapter uses.

    Attributes:
        frames: question_id, question, candidate, label by name (the module's text).
        targets: names of the target sets; ablations are done on the first.
        sentences: plain sentences for the small language model.
        uses: data sets, for the results file.
    """

    frames: Mapping[str, pd.DataFrame]
    targets: tuple[str, ...]
    sentences: Sequence[str]
    uses: tuple[DatasetUse, ...]


def counted(frame: pd.DataFrame, mode: Mode) -> pd.DataFrame:
    """Rows of the questions that count in ``mode``."""
    mask = mode_mask(frame["question_id"].tolist(), frame["label"].to_numpy(), mode)
    return frame[mask].reset_index(drop=True)


def flip_labels(labels: Int[np.ndarray, " N"], share: float, *, seed: int) -> Int[np.ndarray, " N"]:
    """Labels with ``share`` of them, drawn at random from both classes, turned over.

    Raises:
        ValueError: a share outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share: expected 0 to 1, got {share}")
    chosen = np.random.default_rng(seed).permutation(len(labels))[: round(share * len(labels))]
    flipped = labels.copy()
    flipped[chosen] = 1 - flipped[chosen]
    return flipped


def permute_labels(frame: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """The frame with its labels permuted over all rows: as many positives, and nothing to learn."""
    order = np.random.default_rng(seed).permutation(len(frame))
    return frame.assign(label=frame["label"].to_numpy()[order])


def merge(transfer: pd.DataFrame, target: pd.DataFrame, *, pairs: tuple[int, int], seed: int) -> pd.DataFrame:
    """Random rows of both sets in one frame; ``pairs`` from each (all, if there are fewer)."""
    parts = [
        part.sample(min(size, len(part)), random_state=seed)
        for part, size in zip((transfer, target), pairs, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def derived_frames(
    transfer: pd.DataFrame,
    target: pd.DataFrame,
    name: str,
    *,
    noise: Sequence[int],
    merged: tuple[int, int],
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Frames of the controls on one target; ``noise`` in percent, ``merged`` in pairs of each set."""
    labels = target["label"].to_numpy(dtype=np.int64)
    noisy = {
        f"{name}-noise-{percent}": target.assign(label=flip_labels(labels, percent / 100, seed=seed))
        for percent in noise
    }
    return noisy | {
        "transfer-shuffled": permute_labels(transfer, seed=seed),
        f"{name}-merged": merge(transfer, target, pairs=merged, seed=seed),
    }


def public_material(*, seed: int, noise: Sequence[int], merged: tuple[int, int], cap: int) -> Material:
    """WikiQA and TREC-QA as targets, SQuAD's development sentences for transfer.

    WikiQA trains on questions with a positive, TREC-QA on its hand-labelled set; samples hold ``cap`` pairs.
    Evaluation frames hold clean questions only.

    Raises:
        echobook.data.fetch.FetchError: files missing or not the registered ones.
    """
    pairs, squad_use = load_squad_nqg("dev")
    near, anywhere = (
        transfer_pairs(pairs, questions=TRANSFER_QUESTIONS, negatives=NEGATIVES, kind=kind, seed=seed)
        for kind in ("near", "random")
    )
    corpora = {"wikiqa": load_wikiqa(), "trecqa": load_trecqa()}
    frames = {"transfer": near, "transfer-random": anywhere}
    for name, corpus in corpora.items():
        frames |= _target_frames(name, corpus, cap, seed)
    frames |= derived_frames(near, frames["wikiqa"], "wikiqa", noise=noise, merged=merged, seed=seed)
    uses = (*(corpus.use for corpus in corpora.values()), squad_use)
    return Material(frames, tuple(corpora), [sentence for sentence, _ in pairs], uses)


def _target_frames(name: str, corpus: QACorpus, cap: int, seed: int) -> dict[str, pd.DataFrame]:
    train = counted(corpus.rows("train"), "no-all-negative")
    return {
        name: train.sample(min(cap, len(train)), random_state=seed).reset_index(drop=True),
        f"{name}-all": train,
        f"{name}-dev": counted(corpus.rows("validation"), "clean"),
        f"{name}-test": counted(corpus.rows("test"), "clean"),
    }


def generated_material(
    *, seed: int, shared: float, noise: Sequence[int], merged: tuple[int, int]
) -> Material:
    """The generated fact world as one target ``facts`` and its transfer set; ``shared`` is its knob."""
    world = fact_world(seed=seed, shared=shared)
    frames = {
        "transfer": world.rows("transfer"),
        "transfer-random": world.rows("transfer-random"),
        "facts": world.rows("train"),
        "facts-all": world.rows("train"),
        "facts-dev": counted(world.rows("validation"), "clean"),
        "facts-test": counted(world.rows("test"), "clean"),
    }
    frames |= derived_frames(
        frames["transfer"], frames["facts"], "facts", noise=noise, merged=merged, seed=seed
    )
    return Material(frames, ("facts",), frames["transfer"]["candidate"].tolist(), (world.use,))
