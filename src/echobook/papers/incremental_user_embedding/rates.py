"""Learning rates: one grid and one rule for every arm on every world.

Each arm is trained at each rate of the grid with one seed that is never recorded; the rate with the highest
best dev accuracy is taken, of equal ones the lower. Test targets play no part. ``trials.py`` holds what
``bench/incremental_rates.py`` found.
"""

from collections.abc import Mapping

from echobook.papers.incremental_user_embedding.trials import TRIALS

GRID = (1e-2, 3e-2, 1e-1)
SEED = 1000
Trials = Mapping[str, Mapping[str, Mapping[float, float]]]  # world -> arm -> rate -> dev accuracy


def best_rate(tried: Mapping[float, float]) -> float:
    """The rate of the highest accuracy, the lower one of two equal ones. Raises ValueError for no trials."""
    if not tried:
        raise ValueError("no trials to choose a rate from")
    return min(tried, key=lambda rate: (-tried[rate], rate))


def chosen_rate(world: str, arm: str, *, known: Trials | None = None) -> float:
    """The learning rate of an arm on a world; one without trials of its own takes ``incremental``'s.

    Raises ValueError for a world without trials.
    """
    found: Trials = TRIALS if known is None else known
    if world not in found:
        raise ValueError(
            f"world {world!r} has no trials; expected one of {', '.join(sorted(found))}; "
            f"try: python bench/incremental_rates.py {world} {world}.json"
        )
    own = found[world]
    return best_rate(own.get(arm, own["incremental"]))
