"""The trials behind the federated chapter's learning rates: every arm, every rate of the grid, on each
world.

    python bench/federated_rates.py [WORLD ...]

Needs CLINC150 and the Hacker News posts (`echobook fetch clinc150 hackernews`) and about
fifteen minutes of one core. Rewrites `src/echobook/papers/federated_nlu/trials.py` world by world.
"""

import functools
import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from echobook.federated.rounds import Diverged
from echobook.papers.federated_nlu import experiment, material, rates
from echobook.papers.federated_nlu.baselines import ARMS, arm
from echobook.papers.federated_nlu.training import train_arm
from echobook.text.encoder import SentenceEncoder

FILE = Path(rates.__file__).with_name("trials.py")
HEAD = '"""Validation accuracy of each trial, as `bench/federated_rates.py` wrote it: world, arm, rate."""'
AT = {"users": (20, 40, 200), "topics": (10, 10, 40)}  # devices a round, early and late round


def worlds(encoder: SentenceEncoder) -> dict[str, Callable[[int], material.World]]:
    """Makers of each world on validation texts, by name."""

    texts = functools.cache(lambda name: material.intent_texts(name, encoder))
    posts = functools.cache(lambda: material.post_texts(encoder))

    def clinc(name: str, hidden: int = 0) -> Callable[[int], material.World]:
        return lambda seed: experiment.build_world(
            name, texts("clinc150"), seed=seed, devices=600, split="validation", hidden=hidden
        )

    return {
        "mixed": clinc("mixed"),
        "deep": clinc("mixed", 256),
        "users": lambda seed: material.user_world(posts(), split="validation"),
        "topics": lambda seed: experiment.build_world(
            "mixed", material.topic_texts(seed=seed), seed=seed, devices=200
        ),
    }


def trial(
    make: Callable[[int], material.World], name: str, rate: float, at: experiment.Points, long: bool
) -> float:
    """Mean over the validation seeds of the mean accuracy over rounds, or of the last one of a long run."""
    found = []
    for seed in rates.SEEDS:
        world = make(seed)
        if world.hidden and seed != rates.SEEDS[0]:
            continue  # the two-layer model is tuned on one seed
        if long:
            marks = [
                train_arm(world, arm("activity-equal"), at.budget, rate=1.0, seed=seed, watch=[]).samples[-1]
            ]
            curve = train_arm(
                world, arm(name), at.budget, rate=rate, seed=seed, watch=[], marks=marks, longest=40 * at.late
            )
            found.append(curve.accuracy()[-1])
        else:
            watch = range(at.early // 4, at.late + 1, at.early // 4)
            curve = train_arm(world, arm(name), at.budget, rate=rate, seed=seed, watch=watch)
            found.append(curve.accuracy().mean())
    return round(float(np.mean(found)), 4)


def write(world: str, found: dict[str, dict[float, float]]) -> None:
    """Replace one world's trials in the file."""
    trials = importlib.reload(importlib.import_module("echobook.papers.federated_nlu.trials"))
    known = dict(trials.TRIALS) | {world: found}
    lines = [
        HEAD,
        "",
        "# ruff: noqa: E501",
        "# fmt: off",
        "TRIALS: dict[str, dict[str, dict[float, float]]] = {",
    ]
    for name in sorted(known):
        lines += [f'    "{name}": {{']
        for arm_name, tried in known[name].items():
            entries = ", ".join(f"{rate}: {value:.4f}" for rate, value in tried.items())
            lines += [f'        "{arm_name}": {{{entries}}},']
        lines += ["    },"]
    FILE.write_text("\n".join([*lines, "}"]) + "\n", encoding="utf-8")


def tried(
    make: Callable[[int], material.World], name: str, at: experiment.Points, long: bool
) -> dict[float, float]:
    """All rates of the grid; a run that diverges has accuracy 0."""
    found = {}
    for rate in rates.GRID:
        try:
            found[rate] = trial(make, name, rate, at, long)
        except Diverged:
            found[rate] = 0.0
    return found


def main(names: list[str]) -> None:
    """Try the grid on each named world, all by default."""
    made = worlds(SentenceEncoder())
    for name in names or list(made):
        start = time.process_time()
        at = experiment.points(*AT.get(name, (10, 20, 100)))
        few = experiment.MAIN if name == "deep" else list(ARMS)
        found = {a: tried(made[name], a, at, False) for a in few}
        for a in ("uniform-n", "uniform-equal") if name != "deep" else ():
            found[f"{a}/long"] = tried(made[name], a, at, True)
        write(name, found)
        print(name, round(time.process_time() - start), "s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
