"""Tune the learning rate of every arm of the incremental-user-embedding chapter on dev targets.

python bench/incremental_rates.py WORLD FILE.json     # hackernews, reddit or topics; goes on where it stopped
python bench/incremental_rates.py trials FILE.json... # prints the text of trials.py
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from echobook.papers.incremental_user_embedding import experiment, material
from echobook.papers.incremental_user_embedding.material import Users
from echobook.papers.incremental_user_embedding.rates import GRID, SEED
from echobook.papers.incremental_user_embedding.training import Plan, fit
from echobook.text.encoder import SentenceEncoder


def world_users(world: str) -> Users:
    """Users of a world as the public (or, for topics, the default) profile has them."""
    if world == "hackernews":
        return material.real_users(material.post_pool(SentenceEncoder()))
    if world == "topics":
        pool, sizes, steps = material.topic_pool(seed=SEED), {"train_users": 100, "test_users": 80}, 32
    else:
        pool = material.title_pool(SentenceEncoder())
        sizes, steps = {"train_users": 200, "test_users": 200}, 40
    kind = replace(experiment.WORLDS["drift"], interactions=steps)
    return material.simulated_users(pool, kind, seed=SEED, **sizes).users


def tune(world: str, path: Path) -> None:
    """Train every arm at every rate and write the best dev accuracies after each run."""
    found = json.loads(path.read_text()) if path.is_file() else {}
    users = world_users(world)
    for name in experiment.tuning_arms():
        for rate in GRID:
            if f"{name} {rate}" in found:
                continue
            started = time.process_time()
            model = experiment.build(
                name, features=users.features, classes=users.classes, sizes=experiment.Sizes(), seed=SEED
            )
            plan = Plan(rate=rate, epochs=8)
            fitted = fit(model, users, plan, seed=SEED)
            found[f"{name} {rate}"] = max(fitted.dev)
            seconds = time.process_time() - started
            print(world, name, rate, f"{seconds:.1f} s", [round(x, 4) for x in fitted.dev], flush=True)
            path.write_text(json.dumps(found, indent=0))


def trials(paths: list[Path]) -> str:
    """The lines of ``trials.py`` from the files of several worlds, each named by its world."""
    lines = []
    for path in sorted(paths):
        lines.append(f'    "{path.stem}": {{')
        table: dict[str, dict[float, float]] = {}
        for key, value in json.loads(path.read_text()).items():
            name, rate = key.split()
            table.setdefault(name, {})[float(rate)] = round(value, 4)
        lines += [f'        "{name}": {rates},' for name, rates in table.items()]
        lines.append("    },")
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "trials":
        print(trials([Path(name) for name in sys.argv[2:]]))
    else:
        tune(sys.argv[1], Path(sys.argv[2]))
