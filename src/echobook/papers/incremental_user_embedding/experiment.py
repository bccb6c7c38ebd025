"""The chapter's rows: which models are compared, under which names, on which worlds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool

from echobook.data.generators.histories import HistoryWorld
from echobook.papers.incremental_user_embedding import baselines
from echobook.papers.incremental_user_embedding.evaluation import Scores, by_user
from echobook.papers.incremental_user_embedding.material import Users, shuffled_users
from echobook.papers.incremental_user_embedding.model import (
    Accumulated,
    Gate,
    History,
    IncrementalUpdate,
    NoGate,
    Personal,
    QueryAttention,
    Update,
    one_way,
)
from echobook.papers.incremental_user_embedding.rates import chosen_rate
from echobook.papers.incremental_user_embedding.training import Fitted, Plan, correct_answers, fit

MAIN = ("text", "counts", "fading-counts", "last", "mean", "full", "ema", "gru", "incremental")
UNLABELLED = ("incremental-unlabelled",)
ABLATIONS = ("no-gate", "one-way", "one-slot", "one-layer", "long-blocks", "cut-at-one")
# Simulated worlds: how often preferences change, and how much users differ.
WORLDS: dict[str, HistoryWorld] = {
    "drift": HistoryWorld(changes=1),
    "steady": HistoryWorld(changes=0),
    "restless": HistoryWorld(changes=3),
    "alike": HistoryWorld(changes=0, concentration=10.0),
}


@dataclass(frozen=True)
class Sizes:
    """Sizes that arms share: width E, slots M, interactions of a block N, layers, heads, truncation."""

    width: int = 32
    slots: int = 4
    block: int = 4
    layers: int = 2
    heads: int = 4
    truncation: int = 3


def build(name: str, *, features: int, classes: int, sizes: Sizes, seed: int) -> Personal:
    """An untrained arm by name; its weights come from the seed. Raises ValueError for an unknown name."""
    base = name.removesuffix("-unlabelled")
    changes = VARIANTS.get(base, {})
    sizes = replace(sizes, **changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        history = _history("incremental" if base in VARIANTS else base, base, classes, sizes)
        return Personal(
            history,
            features=features,
            classes=classes,
            width=sizes.width,
            labels=base == name,
        )


VARIANTS: dict[str, dict[str, int]] = {
    "no-gate": {},
    "one-way": {},
    "one-slot": {"slots": 1},
    "one-layer": {"layers": 1},
    "long-blocks": {"block": 8},
    "cut-at-one": {"truncation": 1},
}


def _history(name: str, variant: str, classes: int, sizes: Sizes) -> History:
    attention, width = QueryAttention(sizes.width, heads=sizes.heads), sizes.width
    same = {"layers": sizes.layers, "heads": sizes.heads}
    updates: dict[str, Update] = {}
    if name == "incremental":
        updates[name] = IncrementalUpdate(
            width,
            slots=sizes.slots,
            block=sizes.block,
            gate=NoGate() if variant == "no-gate" else Gate(width),
            mask=one_way(sizes.slots, sizes.block) if variant == "one-way" else None,
            **same,
        )
    elif name == "ema":
        updates[name] = baselines.MovingAverage(width, slots=sizes.slots)
    elif name == "gru":
        updates[name] = baselines.Recurrent(width, slots=sizes.slots)
    if name in updates:
        return Accumulated(updates[name], attention, block=sizes.block, truncation=sizes.truncation)
    others: dict[str, History] = {
        "text": baselines.NoHistory(),
        "counts": baselines.Counts(classes, width),
        "fading-counts": baselines.Counts(classes, width, fading=0.9),
        "last": baselines.LastItems(attention, width, n=sizes.slots + sizes.block),
        "mean": baselines.MeanOfAll(attention, width),
    }
    if name == "full":
        return baselines.FullHistory(attention, width, **same)
    if name not in others:
        raise ValueError(f"arm {name!r}: expected one of {', '.join((*MAIN, *UNLABELLED, *ABLATIONS))}")
    return others[name]


def train_arm(name: str, users: Users, *, sizes: Sizes, plan: Plan, rates: str, seed: int) -> Fitted:
    """An arm trained at the rate tuned for it in the world ``rates``."""
    model = build(name, features=users.features, classes=users.classes, sizes=sizes, seed=seed)
    return fit(model, users, replace(plan, rate=chosen_rate(rates, name)), seed=seed)


def train_arms(
    names: Iterable[str], users: Users, *, sizes: Sizes, plan: Plan, rates: str, seed: int
) -> dict[str, Fitted]:
    """Several arms on one world."""
    return {name: train_arm(name, users, sizes=sizes, plan=plan, rates=rates, seed=seed) for name in names}


def answers_of(fitted: Mapping[str, Fitted], users: Users, split: str) -> dict[str, Bool[np.ndarray, "B S"]]:
    """Right answers of each arm on the targets of a split."""
    return {name: correct_answers(one.model, users, split) for name, one in fitted.items()}


def frozen_answers(fitted: Fitted, users: Users, split: str) -> Bool[np.ndarray, "B S"]:
    """The batch setting: targets answered with a mean profile learned once and never renewed."""
    history = fitted.model.history
    if not isinstance(history, baselines.MeanOfAll):
        raise TypeError(f"expected an arm with MeanOfAll, got {type(history).__name__}")
    found = torch.zeros_like(users.y, dtype=torch.bool)
    wanted, size = users.targets(split), int(users.size.max())
    try:
        for group in torch.nonzero(wanted.any(dim=1)).flatten().split(256):
            history.frozen_at = users.frozen_at[group]
            with torch.no_grad():
                answers = fitted.model.eval()(users.x(group, size), users.y[group, :size]).argmax(dim=-1)
            found[group, :size] = answers == users.y[group, :size]
    finally:
        history.frozen_at = None
    return (found & wanted).numpy()


def shuffled_arm(
    users: Users, split: str, *, sizes: Sizes, plan: Plan, rates: str, seed: int
) -> tuple[Fitted, Bool[np.ndarray, "B S"]]:
    """The control: the method on histories of strangers; right answers at the targets' own places."""
    mixed, origin = shuffled_users(users, seed=seed)
    fitted = train_arm("incremental", mixed, sizes=sizes, plan=plan, rates=rates, seed=seed)
    right = correct_answers(fitted.model, mixed, split)
    found = np.zeros(right.size, dtype=bool)
    real = origin >= 0
    found[origin[real]] = right[real]
    return fitted, found.reshape(right.shape)


def late_targets(users: Users, split: str) -> Bool[np.ndarray, "B S"]:
    """Targets of a split after the moment at which a profile learned once stops."""
    later = users.before >= users.frozen_at.numpy()[:, None]
    return users.targets(split).numpy() & later


def scores_of(
    answers: Mapping[str, Bool[np.ndarray, "B S"]], wanted: Bool[np.ndarray, "B S"]
) -> dict[str, Scores]:
    """Scores by user of each arm over the wanted targets."""
    return {name: by_user(correct, wanted) for name, correct in answers.items()}


def tuning_arms() -> Sequence[str]:
    """Arms that have a rate of their own; ablations take the method's."""
    return (*MAIN, *UNLABELLED)
