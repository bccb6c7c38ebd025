"""The chapter's arms: which models and masks are compared, under which names, on threads and on channels.

Threads (one conversation, softmax over earlier messages):

- ``ours``: all ancestors; ``depth-1``, ``depth-2``, ``depth-3``: at most so many steps up;
- ``own-line``: no ancestors, the same transformer as a pairwise model; ``pair``: a pairwise network with
  products; ``pair-parent``: that one with the mean of the candidate's parents;
- ``no-mask``: everybody reads everybody; ``target-reads``: ancestors, and the target reads the candidates;
- ``random``: as many random earlier messages as ancestors; ``recent-1``, ``recent-3``, ``recent-9``: the
  last ones.

Channels (a window and the target itself, independent binary decisions): ``ours`` and ``pair`` from text,
``ours-f`` and ``pair-f`` with the 77 features, ``linear`` and ``feed-forward`` from features alone, by a
softmax."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from echobook.data.irc import Channel
from echobook.data.types import DatasetUse
from echobook.papers.masked_hierarchical_transformer.baselines import (
    Everything,
    FeatureScorer,
    PairScorer,
    RandomEqual,
    Recent,
)
from echobook.papers.masked_hierarchical_transformer.batches import Batch
from echobook.papers.masked_hierarchical_transformer.evaluation import (
    Hits,
    choose,
    choose_in_turn,
    hits,
    score_channels,
)
from echobook.papers.masked_hierarchical_transformer.features import COUNT
from echobook.papers.masked_hierarchical_transformer.material import Pool
from echobook.papers.masked_hierarchical_transformer.model import (
    Ancestors,
    Reading,
    Responder,
    link_loss,
    ranking_loss,
)
from echobook.papers.masked_hierarchical_transformer.stages import (
    LowerLayers,
    Tuned,
    by_conversation,
    numbered,
)
from echobook.papers.masked_hierarchical_transformer.training import (
    FixedMasks,
    Order,
    Plan,
    Scorer,
    by_length,
    fit,
)

READINGS: dict[str, Reading] = {
    "ours": Ancestors(),
    "own-line": Ancestors(0),
    "pair": Ancestors(0),
    "pair-parent": Ancestors(1),
    "no-mask": Everything(),
    "target-reads": Ancestors(target_reads=True),
    "random": RandomEqual(),
    **{f"depth-{depth}": Ancestors(depth) for depth in (1, 2, 3)},
    **{f"recent-{last}": Recent(last) for last in (1, 3, 9)},
}
CHANNEL_ARMS = ("linear", "feed-forward", "pair", "pair-f", "ours", "ours-f")
HIDDEN = (256, 128)  # of the feed-forward model of features


@dataclass(frozen=True)
class Sizes:
    """Width and inner width of the masked transformer (the paper: 300 and 1024)."""

    width: int = 128
    feed_forward: int = 256


@dataclass(frozen=True)
class ChannelTask:
    """Training and development channels as pools, and the development channels themselves."""

    train: Pool
    dev: Pool
    dev_channels: Sequence[Channel]


@dataclass(frozen=True)
class StartOrParent:
    """Softmax over the candidates and the target itself, for the models of features."""

    def __call__(self, logits: Float[Tensor, "B L"], batch: Batch) -> Float[Tensor, ""]:
        scores = logits.masked_fill(~batch.real, -1e9).log_softmax(-1)
        gold = batch.gold.float()
        return -(scores * gold / gold.sum(-1, keepdim=True)).sum(-1).mean()


def graph_accuracy(scorer: Scorer, pool: Pool) -> float:
    """Graph accuracy with the true history."""
    return hits(pool, choose(scorer, pool, self_link=False)).graph


def build(name: str, features: int, sizes: Sizes, *, pair_features: int = 0, seed: int) -> nn.Module:
    """A fresh model of an arm; weights depend on the seed alone.

    Raises:
        ValueError: an unknown arm.
    """
    if name not in READINGS and name not in CHANNEL_ARMS:
        raise ValueError(f"arm: expected one of {', '.join((*READINGS, *CHANNEL_ARMS))}, got {name!r}")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if name in ("linear", "feed-forward"):
            return FeatureScorer(COUNT, HIDDEN if name == "feed-forward" else ())
        if name.startswith("pair"):
            return PairScorer(features, pair_features=pair_features, context=name == "pair-parent")
        wide = {"width": sizes.width, "feed_forward": sizes.feed_forward}
        return Responder(features, pair_features=pair_features, **wide)


def train_thread_arm(name: str, train: Pool, dev: Pool, sizes: Sizes, plan: Plan, *, seed: int) -> Scorer:
    """Train an arm on threads; the epoch is chosen by graph accuracy on ``dev``."""
    model = build(name, train.vectors.shape[1], sizes, seed=seed)
    return rank_threads(model, (train, dev), plan, READINGS[name], seed=seed)


def rank_threads(
    model: nn.Module,
    pools: Sequence[Pool],
    plan: Plan,
    reading: Reading,
    *,
    seed: int,
    order: Order = by_length,
) -> Scorer:
    """Train a model by the softmax over candidates on the first of two pools of threads."""
    return fit(
        model,
        pools[0],
        pools[1],
        reading=reading,
        loss=ranking_loss,
        plan=plan,
        judge=graph_accuracy,
        seed=seed,
        order=order,
    )


def train_channel_arm(name: str, task: ChannelTask, sizes: Sizes, plan: Plan, *, seed: int) -> Scorer:
    """Train an arm on channels; the epoch is chosen by link F1 on the development channels."""
    wanted = COUNT if name.endswith("-f") else 0
    model = build(name, task.train.vectors.shape[1], sizes, pair_features=wanted, seed=seed)

    def judge(scorer: Scorer, pool: Pool) -> float:
        return score_channels(task.dev_channels, pool, choose(scorer, pool, self_link=True)).links.f1

    loss = StartOrParent() if name in ("linear", "feed-forward") else link_loss
    reading = READINGS[name.removesuffix("-f")] if name.startswith(("ours", "pair")) else Ancestors(0)
    return fit(model, task.train, task.dev, reading=reading, loss=loss, plan=plan, judge=judge, seed=seed)


@dataclass(frozen=True)
class Parents:
    """Whether each target of some threads got a true parent, by true and by predicted history.

    Attributes:
        right, in_turn: 0 or 1 for each target, with the history that is true, or predicted so far.
        groups: number of each target's thread.
        whole: 0 or 1 for each thread: every parent right.
        whole_differs: threads for which that is not the same by both histories; it has to be 0.
    """

    right: Float[np.ndarray, " Q"]
    in_turn: Float[np.ndarray, " Q"]
    groups: Int[np.ndarray, " Q"]
    whole: Float[np.ndarray, " K"]
    whole_differs: float = 0.0


def parents_of(true: Hits, turn: Hits | None = None) -> Parents:
    """Join what was found by both histories; a rule that reads none has one."""
    turn = turn or true
    differs = float(np.abs(true.whole - turn.whole).sum())
    return Parents(true.right, turn.right, true.groups, true.whole, differs)


def score_threads(scorer: Scorer, pool: Pool) -> Parents:
    """Score an arm on threads."""
    true = hits(pool, choose(scorer, pool, self_link=False))
    return parents_of(true, hits(pool, choose_in_turn(scorer, pool, self_link=False)))


def with_reading(scorer: Scorer, reading: Reading, seed: int) -> Scorer:
    """The same trained model, whose candidates read something else."""
    return replace(scorer, masks=FixedMasks(reading, seed))


def renamed(use: DatasetUse, name: str) -> DatasetUse:
    """A data set's use under another name: one of several parts."""
    return replace(use, name=name)


StageName = Literal["frozen", "two-stage", "one-stage"]


def stage_scores(
    pools: Sequence[Pool], lower: LowerLayers, sizes: Sizes, *, frozen: Plan, tuned: Plan, seed: int
) -> dict[StageName, Parents]:
    """Train on one small set of threads in three ways and score each on the last pool.

    ``frozen`` trains above a frozen encoder for the epochs of both stages, ``two-stage`` for those of stage
    1 and then everything at the small rate, ``one-stage`` everything at once for as many tuned epochs and
    at the rate of stage 1.

    Args:
        pools: training, development and test threads; ``lower`` holds their utterances in this order.
    """
    firsts = np.cumsum([0, *(len(pool.vectors) for pool in pools)])
    rows = [numbered(pool, int(first)) for pool, first in zip(pools, firsts, strict=False)]
    longer = replace(frozen, epochs=frozen.epochs + tuned.epochs)

    def train(model: nn.Module, parts: Sequence[Pool], plan: Plan, order: Order = by_length) -> Scorer:
        return rank_threads(model, parts, plan, READINGS["ours"], seed=seed, order=order)

    def fresh() -> nn.Module:
        return build("ours", pools[0].vectors.shape[1], sizes, seed=seed)

    frozen_only = train(fresh(), pools, longer)
    first = train(fresh(), pools, frozen)
    both = train(Tuned(first.model, lower), rows, tuned, by_conversation)
    once = train(Tuned(fresh(), lower), rows, replace(tuned, rate=frozen.rate), by_conversation)
    found: dict[StageName, Parents] = {"frozen": score_threads(frozen_only, pools[2])}
    return found | {"two-stage": score_threads(both, rows[2]), "one-stage": score_threads(once, rows[2])}
