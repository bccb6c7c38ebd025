"""The chapter's arms, ablations and controls, and the runs over folds that its tables are made of."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int
from scipy.stats import spearmanr

from echobook.papers.adversarial_reweighting.baselines import (
    ByLoss,
    Even,
    KnownGroups,
    Leaky,
    MeanTwo,
    Shuffled,
    Weigher,
    joined_by,
)
from echobook.papers.adversarial_reweighting.groups import GroupRates, ScoredFold, slices_of
from echobook.papers.adversarial_reweighting.material import Split, Voices
from echobook.papers.adversarial_reweighting.method import (
    Combine,
    Loss,
    Reweighting,
    binary_loss,
    pairwise,
    per_query,
    softmax_loss,
)
from echobook.papers.adversarial_reweighting.model import EMBEDDING, SpeakerEncoder
from echobook.papers.adversarial_reweighting.training import Plan, Trained, WeightLog, embed, train


@dataclass(frozen=True)
class Arm:
    """A way of training: its loss, who weighs, and what it changes in the plan."""

    name: str
    loss: Loss
    weigher: Callable[[Plan, int, int], Weigher]  # plan, seed, number of cells
    change: Callable[[Plan], Plan] = lambda plan: plan


def adversarial(
    combine: Combine, loss: Loss, *, regions: bool = True, kind: type[Reweighting] = Reweighting
) -> Callable[[Plan, int, int], Weigher]:
    """An adversary of a kind, with as many regions as the plan says, or without."""

    def make(plan: Plan, seed: int, cells: int) -> Weigher:
        count = plan.regions if regions else 0
        return kind(combine, loss, size=EMBEDDING, regions=count, rate=plan.adversary_rate, seed=seed)

    return make


def even(plan: Plan, seed: int, cells: int) -> Weigher:
    """No weights."""
    return Even()


PW = adversarial(pairwise, softmax_loss)
MAIN = (
    Arm("baseline", softmax_loss, even),
    Arm("aps", softmax_loss, adversarial(per_query, softmax_loss, regions=False)),
    Arm("pl", softmax_loss, adversarial(per_query, softmax_loss)),
    Arm("pw", softmax_loss, PW),
)
BINARY = (
    Arm("binary-baseline", binary_loss, even),
    Arm("pw-binary", binary_loss, adversarial(pairwise, binary_loss)),
)
CONTROLS = (
    Arm("shuffled", softmax_loss, adversarial(pairwise, softmax_loss, kind=Shuffled)),
    Arm("leaky", softmax_loss, adversarial(pairwise, softmax_loss, kind=Leaky)),
)
RIVALS = (
    Arm("by-loss", softmax_loss, lambda plan, seed, cells: ByLoss()),
    Arm("known-groups", softmax_loss, lambda plan, seed, cells: KnownGroups(cells)),
)


def changed(name: str, **values: float | int) -> Arm:
    """PW with another value in the plan."""
    return Arm(name, softmax_loss, PW, lambda plan: replace(plan, **values))  # type: ignore[arg-type]


ABLATIONS = (
    Arm("without-regions", softmax_loss, adversarial(pairwise, softmax_loss, regions=False)),
    Arm("mean-two", softmax_loss, adversarial(pairwise, softmax_loss, kind=MeanTwo)),
    Arm("baseline-double-rate", softmax_loss, even, lambda plan: replace(plan, rate=2 * plan.rate)),
)
MORE_ABLATIONS = (
    RIVALS[0],
    *(changed(f"regions-{k}", regions=k) for k in (4, 16, 32)),
    changed("no-pretraining", pretrain=0.0),
    changed("adversary-slow", adversary_rate=1e-3),
    changed("adversary-fast", adversary_rate=1e-1),
    Arm("product", softmax_loss, adversarial(joined_by("product"), softmax_loss)),
    Arm("max", softmax_loss, adversarial(joined_by("max"), softmax_loss)),
    Arm("positives-only", softmax_loss, adversarial(joined_by("sum", "positives"), softmax_loss)),
    Arm("negatives-only", softmax_loss, adversarial(joined_by("sum", "negatives"), softmax_loss)),
)
# The group with the higher error rate in pilot runs, then the other one, by corpus and attribute.
WORSE = {
    "speechocean762": {"sex": ("m", "f"), "age": ("child", "adult")},
    "voices": {"sex": ("m", "f"), "accent": ("uk", "us")},
}


@dataclass(frozen=True)
class ArmRun:
    """One arm over all folds: scored trials and the log of weights of each."""

    name: str
    folds: list[ScoredFold]
    logs: list[WeightLog]

    def rates(self) -> GroupRates:
        """Rates by group, averaged over folds, with the speakers' contributions."""
        return GroupRates.over(self.folds)

    def first(self) -> "ArmRun":
        """The first fold alone."""
        return ArmRun(self.name, self.folds[:1], self.logs[:1])


def train_arm(voices: Voices, arm: Arm, train_on: Int[np.ndarray, " n"], plan: Plan, *, seed: int) -> Trained:
    """One encoder of an arm."""
    own = arm.change(plan)
    weigher = arm.weigher(own, seed, int(voices.cells().max()) + 1)
    return train(voices, train_on, weigher, arm.loss, own, seed=seed)


def score(voices: Voices, encoder: SpeakerEncoder, speakers: Int[np.ndarray, " m"]) -> ScoredFold:
    """All trials of some speakers."""
    rows = voices.of(speakers)
    embeddings = embed(encoder, voices.frames[torch.from_numpy(rows)])
    return ScoredFold(embeddings, voices.speaker[rows], slices_of(voices.speakers, voices.attributes))


def run_arms(
    voices: Voices, splits: Sequence[Split], arms: Iterable[Arm], plan: Plan, *, seed: int
) -> dict[str, ArmRun]:
    """Every arm on every split; start and batches of a split are the same for all arms."""
    found = {}
    for arm in arms:
        folds, logs = [], []
        for number, split in enumerate(splits):
            trained = train_arm(voices, arm, split.train, plan, seed=100 * seed + number)
            folds.append(score(voices, trained.encoder, split.test))
            logs.append(trained.log)
        found[arm.name] = ArmRun(arm.name, folds, logs)
    return found


def mel_means(voices: Voices, splits: Sequence[Split]) -> ArmRun:
    """The floor, untrained: an utterance's mean log-mel spectrum less that of the training speakers."""
    folds = []
    for split in splits:
        rows, trained_on = voices.of(split.test), voices.of(split.train)
        means = voices.frames.mean(dim=1).numpy()
        embeddings = means[rows] - means[trained_on].mean(axis=0)
        slices = slices_of(voices.speakers, voices.attributes)
        folds.append(ScoredFold(embeddings, voices.speaker[rows], slices))
    return ArmRun("mel-means", folds, [])


def dev_curve(
    voices: Voices,
    speakers: Int[np.ndarray, " n"],
    plan: Plan,
    *,
    seed: int,
    every: int = 25,
    held_out: int = 3,
) -> list[dict[str, float]]:
    """Error rate of the baseline on training speakers held out, as the steps go by.

    `held_out`: speakers of each cell. No test speaker is looked at.
    """
    rng = np.random.default_rng((seed, 53))
    cells = voices.cells()[speakers]
    dev = np.concatenate([rng.permutation(speakers[cells == cell])[:held_out] for cell in np.unique(cells)])
    kept, found = np.setdiff1d(speakers, dev), []

    def watch(number: int, encoder: SpeakerEncoder) -> None:
        if number % every == 0:
            rate = score(voices, encoder, np.sort(dev)).rate("all")
            found.append({"steps": float(number), "EER": rate})

    train(voices, kept, Even(), softmax_loss, plan, seed=seed, watch=watch)
    return found


def mean_weight(logs: Sequence[WeightLog], inside: np.ndarray) -> float:
    """Mean weight of the pairs of some speakers over training."""
    speaker, weight, _ = (np.concatenate(part) for part in zip(*(log.joined() for log in logs), strict=True))
    return float(weight[inside[speaker]].mean())


def weight_ratio(logs: Sequence[WeightLog], worse: np.ndarray, better: np.ndarray) -> float:
    """Mean weight of the worse group over that of the better one; the adversary has seen neither."""
    return mean_weight(logs, worse) / mean_weight(logs, better)


def weight_and_loss(logs: Sequence[WeightLog]) -> float:
    """Spearman's correlation of weight and loss within batches, averaged over steps."""
    found = [
        spearmanr(weight, loss).statistic
        for log in logs
        for weight, loss in zip(log.weight, log.loss, strict=True)
        if np.ptp(weight) > 0
    ]
    return float(np.mean(found)) if found else 0.0
