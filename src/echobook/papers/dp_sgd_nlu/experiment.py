"""The rows of the chapter: estimators on one material, each trained from the same start on the same lots.

Rows are named by what they are; `standard_rows` lists them. At *equal noise* two rows share sigma, at
*equal epsilon* each has the sigma that the accountant gives it. The stopped control is the plain run at the
epoch whose dev accuracy first reaches the private row's: it fits as well, without clipping or noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import nn

from echobook.papers.dp_sgd_nlu.baselines import PerExample, Plain
from echobook.papers.dp_sgd_nlu.evaluation import (
    Answers,
    answers,
    attack_scores,
    intent_hits,
    span_counts,
    span_f1,
)
from echobook.papers.dp_sgd_nlu.material import Coded, Material
from echobook.papers.dp_sgd_nlu.method import MicroBatches, spent
from echobook.papers.dp_sgd_nlu.model import build_bilstm
from echobook.papers.dp_sgd_nlu.top_layer import Pretrained
from echobook.papers.dp_sgd_nlu.training import Estimator, Schedule, train
from echobook.privacy.accounting import multiplier_for
from echobook.privacy.membership import Attack, exposure, judge_attack, lira_scores, wins
from echobook.privacy.taps import PrivacyError

Scores = Float[np.ndarray, "_"]


@runtime_checkable
class Start(Protocol):
    """A kind of model on one material: its parts, ready to read, and fresh weights."""

    @property
    def parts(self) -> Mapping[str, Any]: ...
    def build(self) -> nn.Module: ...


class BiLSTMStart:
    """The biLSTM from random weights."""

    def __init__(self, material: Material, *, seed: int, hidden: int = 128) -> None:
        self.parts, self._seed, self._hidden = material.coded, seed, hidden
        self._sizes = {
            "words": len(material.vocabulary), "tags": len(material.tags), "intents": len(material.intents)
        }  # fmt: skip

    def build(self) -> nn.Module:
        """Fresh weights, the same on every call."""
        return build_bilstm(**self._sizes, seed=self._seed, hidden=self._hidden)


class TopLayerStart:
    """MiniLM's top layer and new heads; the frozen layers are run over all parts once."""

    def __init__(self, material: Material, *, seed: int) -> None:
        self._pretrained, self._seed = Pretrained(), seed
        self._sizes = {"tags": len(material.tags), "intents": len(material.intents)}
        self.parts = {
            part: self._pretrained.features(material.coded[part], rows)
            for part, rows in material.parts.items()
        }

    def build(self) -> nn.Module:
        """Pre-trained top layer and fresh heads, the same on every call."""
        return self._pretrained.build(**self._sizes, seed=self._seed)


@dataclass(frozen=True)
class Look:
    """What is seen of a model after an epoch.

    Attributes:
        dev: dev intent accuracy.
        members, others: attack scores.
        attack: figures of the threshold attack.
        exposure: bits of each canary.
    """

    dev: float
    members: Scores
    others: Scores
    attack: Attack
    exposure: Scores


@dataclass(frozen=True)
class Outcome:
    """One trained row.

    Attributes:
        hits: test utterances whose intent is right (1 or 0).
        counts: right, predicted, true slots of each test utterance.
        f1: of slots on test utterances.
        looks: after each watched epoch; the last is at the end.
        milliseconds: CPU time of a step.
    """

    hits: Scores
    counts: np.ndarray
    f1: float
    looks: list[Look]
    milliseconds: float

    @property
    def last(self) -> Look:
        """After training."""
        return self.looks[-1]

    @property
    def dev(self) -> list[float]:
        """Dev intent accuracy after each watched epoch."""
        return [look.dev for look in self.looks]

    @property
    def wins(self) -> Scores:
        """Share of non-members that each member scores above: per-item scores of the attack's AUC."""
        return wins(self.last.members, self.last.others)


@dataclass(frozen=True)
class Bench:
    """What all rows share: material, start, schedule, seed."""

    material: Material
    start: Start
    schedule: Schedule
    seed: int

    def run(self, estimator: Estimator, *, rate: float | None = None, each_epoch: bool = True) -> Outcome:
        """Train one row from the common start and judge it after each epoch, or after the last one only."""
        schedule = self.schedule if rate is None else replace(self.schedule, rate=rate)
        model, looks = self.start.build(), list[Look]()
        done = train(
            model,
            self.start.parts["members"],
            estimator,
            schedule,
            seed=self.seed,
            observe=(lambda current: looks.append(self.look(current))) if each_epoch else None,
        )
        test = self.start.parts["test"]
        found = answers(model, test)
        counts = span_counts(found, test, self.material.tags)
        looks = looks or [self.look(model)]
        milliseconds = 1000 * done.seconds / done.steps
        return Outcome(intent_hits(found, test), counts, span_f1(counts), looks, milliseconds)

    def look(self, model: nn.Module) -> Look:
        """Dev accuracy, the threshold attack, and the canaries of a model as it is."""
        parts = self.start.parts
        found = {part: answers(model, parts[part]) for part in ("dev", "members", "others")}
        members, others = (attack_scores(found[part], parts[part]) for part in ("members", "others"))
        dev = float(intent_hits(found["dev"], parts["dev"]).mean())
        bits = self._exposure(found["members"], parts["members"])
        return Look(dev, members, others, judge_attack(members, others), bits)

    def _exposure(self, found: Answers, members: Coded) -> Scores:
        chosen = self.material.canaries
        return exposure(-found.intents[chosen], np.asarray(members.intents)[chosen])

    def epsilon(self, estimator: Estimator, *, delta: float, sensitivity: float | None = None) -> float:
        """Epsilon of a row; with its own sensitivity unless another is given (to show what a wrong one
        says).
        """
        population = len(self.start.parts["members"])
        return spent(
            estimator.multiplier,
            estimator.decay,
            rate=self.schedule.sampling(population),
            steps=self.schedule.steps(population),
            epochs=self.schedule.epochs,
            delta=delta,
            sensitivity=estimator.sensitivity if sensitivity is None else sensitivity,
        )

    def multiplier(self, target: float, *, delta: float, sensitivity: float, decay: float = 1.0) -> float:
        """The noise multiplier sigma_0 of a row that may spend epsilon `target`."""
        population, epochs = len(self.start.parts["members"]), self.schedule.epochs
        return multiplier_for(
            target,
            rate=self.schedule.sampling(population),
            steps=epochs * self.schedule.steps(population),
            delta=delta,
            sensitivity=sensitivity,
            decay=[decay**epoch for epoch in range(epochs)],
        )


def standard_rows(*, parts: int, noise: float, bound: float, decay: float) -> dict[str, Estimator]:
    """Rows at equal noise: the paper's mechanism with and without its parts, and the baselines."""
    rows: dict[str, Estimator] = {
        "sgd": Plain(),
        "clip-only": PerExample(bound, 0.0),
        "dp-sgd": PerExample(bound, noise),
        "edp-sgd": MicroBatches(parts, bound, noise, decay),
        "whole-norm": MicroBatches(parts, bound, noise, decay, by_layer=False),
        "no-decay": MicroBatches(parts, bound, noise),
        "one-part": MicroBatches(1, bound, noise, decay),
        "more-noise": MicroBatches(parts, bound, 5 * noise, decay),
    }
    return rows


def equal_epsilon_rows(bench: Bench, main: MicroBatches, *, delta: float) -> dict[str, Estimator]:
    """Rows that spend at most what the main row spends, honestly counted: noise that does not decay, and
    DP-SGD.
    """
    budget = bench.epsilon(main, delta=delta)
    steady = bench.multiplier(budget, delta=delta, sensitivity=main.sensitivity)
    example = bench.multiplier(budget, delta=delta, sensitivity=PerExample.sensitivity)
    return {
        "equal-steady": replace(main, multiplier=steady, decay=1.0),
        "equal-dp-sgd": PerExample(main.bound, example),
    }


def stopped_epoch(plain: Sequence[float], private: float) -> int:
    """First epoch (from 0) at which the plain run's dev accuracy reaches the private row's; the last one if
    never.
    """
    reached = [epoch for epoch, accuracy in enumerate(plain) if accuracy >= private]
    return reached[0] if reached else len(plain) - 1


@dataclass(frozen=True)
class _Some:
    """A few utterances of a part; reads like a part."""

    part: Any
    chosen: Sequence[int]

    def __len__(self) -> int:
        return len(self.chosen)

    def batch(self, numbers: Any) -> Any:
        """A batch by place among the chosen."""
        return self.part.batch([self.chosen[int(number)] for number in numbers])


def shadow_attack(bench: Bench, estimator: Estimator, target: Look, *, shadows: int, rate: float) -> Attack:
    """Offline LiRA: shadows are trained like the target on halves of the *others*, so none saw a member.

    The attacker has utterances of the same kind, the recipe with the target's learning ``rate``, and
    the model; each shadow takes twice the epochs on half the data, so that it makes as many steps. An
    utterance of the others is compared only with the shadows that left it out."""
    members, others = (bench.start.parts[part] for part in ("members", "others"))
    rng = np.random.default_rng([bench.seed, 7])
    chosen = _halves(len(others), shadows, rng)
    like = replace(bench, schedule=replace(bench.schedule, rate=rate))
    scores = [
        _shadow_scores(like, estimator, half, seed=1_000_003 * (number + 1) + bench.seed)
        for number, half in enumerate(chosen)
    ]
    trained_on = np.zeros((shadows, len(members) + len(others)), dtype=bool)
    for number, half in enumerate(chosen):
        trained_on[number, len(members) + half] = True
    z = lira_scores(np.concatenate([target.members, target.others]), np.stack(scores), trained_on)
    return judge_attack(z[: len(members)], z[len(members) :])


def _halves(count: int, shadows: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Random halves in pairs that complement each other: everything is left out by half of the shadows."""
    if shadows < 4 or shadows % 2:
        raise PrivacyError(f"shadows: expected an even number of at least 4, found {shadows}")
    orders = [rng.permutation(count) for _ in range(shadows // 2)]
    return [np.sort(half) for order in orders for half in (order[: count // 2], order[count // 2 :])]


def _shadow_scores(bench: Bench, estimator: Estimator, half: np.ndarray, *, seed: int) -> Scores:
    members, others = (bench.start.parts[part] for part in ("members", "others"))
    own = _Some(others, half.tolist())
    model, schedule = bench.start.build(), bench.schedule
    longer = Schedule(2 * schedule.epochs, min(schedule.lot, len(own)), schedule.rate)
    train(model, own, estimator, longer, seed=seed)
    return np.concatenate([attack_scores(answers(model, part), part) for part in (members, others)])
