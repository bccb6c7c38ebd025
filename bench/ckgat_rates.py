"""Choose settings: every model at every setting of the grid on the tuning seed, judged on validation pairs.

    python bench/ckgat_rates.py WORLD...     worlds: kitchen, allrecipes, lastfm

Prints one line a trial and writes `src/echobook/papers/ckgat/trials.py` anew, other worlds kept. Test pairs
play no part. Trials that `_build/ckgat-trials.json` or the written file knows are not run again.
"""

import json
import sys
from pathlib import Path

from echobook.papers.ckgat import experiment, worlds
from echobook.papers.ckgat.rates import DECAYS, MODELS, RATES, SEEDS, WEIGHTS, WITHOUT, best_setting
from echobook.papers.ckgat.training import Budget
from echobook.papers.ckgat.trials import TRIALS
from echobook.text.encoder import SentenceEncoder

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "_build" / "ckgat-trials.json"
HEAD = '''"""Validation NDCG@20 of each trial, as `bench/ckgat_rates.py` wrote it: world, model, setting."""

# fmt: off
TRIALS: dict[str, dict[str, dict[tuple[float, float], float]]] = {
'''


def make(name, seed):
    """A world by name."""
    encode = SentenceEncoder().encode
    if name == "kitchen":
        return worlds.kitchen(encode, seed=seed)
    return (
        worlds.allrecipes_world(encode, seed=seed) if name == "allrecipes" else worlds.lastfm_world(seed=seed)
    )


def trial(world, name, model, setting, kept):
    """Mean validation NDCG@20 over the tuning seeds, from the file if it is there."""
    key = " ".join(map(str, (name, model, *sorted(setting.items()))))
    if key not in kept:
        fits = [
            experiment.fit_row(model, world[seed], Budget(), seed=seed, settings=setting) for seed in SEEDS
        ]
        kept[key] = [round(sum(fit.best for fit in fits) / len(fits), 5), all(fit.settled for fit in fits)]
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(kept, indent=0))
    print(key, *kept[key], flush=True)
    return kept[key][0]


def tune(name, kept):
    """All models on one world: those with contrast after those without, whose decay they take."""
    world = {seed: make(name, seed) for seed in SEEDS}
    found = {}
    for model in MODELS:
        found[model] = {}
        for rate in RATES:
            for second in WEIGHTS if model in WITHOUT else DECAYS:
                setting = {"rate": rate, "decay": second}
                if model in WITHOUT:
                    setting = {
                        "rate": rate,
                        "decay": best_setting(found[WITHOUT[model]])[1],
                        "weight": second,
                    }
                known = TRIALS.get(name, {}).get(model, {}).get((rate, second))
                again = known is None
                found[model][rate, second] = trial(world, name, model, setting, kept) if again else known
    return found


def main(names):
    """Tune the named worlds and write the file."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    known = dict(TRIALS) | {name: tune(name, kept) for name in names}
    lines = [HEAD]
    for name in sorted(known):
        lines.append(f'    "{name}": {{\n')
        lines += [f'        "{model}": {tried},\n' for model, tried in known[name].items()]
        lines.append("    },\n")
    target = ROOT / "src" / "echobook" / "papers" / "ckgat" / "trials.py"
    target.write_text("".join([*lines, "}\n"]).replace("# fmt: off", "# ruff: noqa: E501\n# fmt: off", 1))


if __name__ == "__main__":
    main(sys.argv[1:])
