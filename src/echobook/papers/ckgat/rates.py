"""Settings of each model: one grid and one rule for all, and as many trials for each.

A model without contrast is tried at two learning rates and four decays; one with contrast takes the decay
of the same model without it and is tried at two rates and four weights of the contrast: eight each. A
setting's score is the mean validation NDCG@20 over the tuning seeds, which are never recorded. The highest
is taken, the smaller rate and then the smaller second value of equal ones. EASE's ridge and the number of
neighbours are chosen in the run itself, on its validation pairs.

``trials.py`` holds what ``bench/ckgat_rates.py`` found.
"""

from collections.abc import Mapping

from echobook.papers.ckgat.trials import TRIALS

RATES = (0.003, 0.01)
DECAYS = (1e-3, 1e-2, 1e-1, 3e-1)
WEIGHTS = (0.003, 0.01, 0.03, 0.1)
SEEDS = (1000,)
UNTUNED = {"rate": 0.01, "decay": 0.01, "weight": 0.01}
WITHOUT = {"sgl": "lightgcn", "ckgat": "no-contrast"}  # the same model without its contrast
MODELS = ("bpr-mf", "lightgcn", "kgat", "no-contrast", "sgl", "ckgat")
Tried = Mapping[tuple[float, float], float]
Trials = Mapping[str, Mapping[str, Tried]]  # world -> model -> (rate, decay or weight) -> validation NDCG


def best_setting(tried: Tried) -> tuple[float, float]:
    """The setting with the highest score, the smaller of equal ones. Raises ValueError for no trials."""
    if not tried:
        raise ValueError("no trials to choose from")
    return min(tried, key=lambda setting: (-tried[setting], setting))


def tuned(world: str, *, known: Trials | None = None) -> bool:
    """Whether every model has as many trials on a world as the grid has settings for it."""
    own = (TRIALS if known is None else known).get(world, {})
    wanted = {m: len(RATES) * len(WEIGHTS if m in WITHOUT else DECAYS) for m in MODELS}
    return all(len(own.get(model, ())) == count for model, count in wanted.items())


def chosen(world: str, model: str, *, known: Trials | None = None) -> dict[str, float]:
    """Rate and decay of a model on a world, and the weight of its contrast if it has one.

    A model that was not tried itself, an ablation, takes the settings of ``ckgat``. On a world that is not
    :func:`tuned` all models have the same settings, :data:`UNTUNED`; nothing is recorded from there.
    """
    found: Trials = TRIALS if known is None else known
    if not tuned(world, known=found):
        return dict(UNTUNED)
    own = found[world]
    name = model if model in own else "ckgat"
    rate, second = best_setting(own[name])
    if name not in WITHOUT:
        return {"rate": rate, "decay": second}
    return {"rate": rate, "decay": best_setting(own[WITHOUT[name]])[1], "weight": second}
