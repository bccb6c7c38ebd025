"""Learning rates: one grid and one rule for every arm on every world.

Each arm is trained at each rate of the grid on the validation seeds (which are never recorded) and judged
on validation texts by its mean accuracy over the watched rounds, so that early and late rounds both count.
The rate with the highest mean over the seeds is taken; of equal ones the lower. Runs to an equal number of
*samples* are longer, so their arms are tuned once more, by the accuracy at the end (``long``). Test texts
play no part.

``trials.py`` holds what ``bench/federated_rates.py`` found.
"""

from collections.abc import Mapping

from echobook.papers.federated_nlu.trials import TRIALS

GRID = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
SEEDS = (1000, 1001)
Trials = Mapping[str, Mapping[str, Mapping[float, float]]]  # world -> arm -> rate -> validation accuracy


def best_rate(tried: Mapping[float, float]) -> float:
    """The rate of the highest accuracy, the lower one of two equal ones. Raises ValueError for no trials."""
    if not tried:
        raise ValueError("no trials to choose a rate from")
    return min(tried, key=lambda rate: (-tried[rate], rate))


def chosen_rate(world: str, arm: str, *, long: bool = False, known: Trials | None = None) -> float:
    """The learning rate of an arm on a world; an arm without trials of its own takes ``activity-equal``'s.

    Raises ValueError for a world without trials.
    """
    found: Trials = TRIALS if known is None else known
    if world not in found:
        raise ValueError(f"world {world!r} has no trials; expected one of {', '.join(sorted(found))}")
    own = found[world]
    name = f"{arm}/long" if long and f"{arm}/long" in own else arm
    return best_rate(own.get(name, own["activity-equal"]))
