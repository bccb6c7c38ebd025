"""Learning rates: the same small grid and the same rule for every architecture.

Each model is trained briefly at each rate of the grid on the material of one tuning seed, which is not a
recorded one, and takes the rate with the lowest transducer loss on development utterances, which are by
training speakers; of two equal rates the lower one. The loss and not the WER, because after so short a
training some models still write hardly a word right. Test utterances play no part. The two controls take
ConvRNN-T's rate, so that they differ from it in one thing only.

Cost: one short training for each model and rate.
"""

from collections.abc import Mapping, Sequence

from echobook.papers.convrnn_t.evaluation import development_loss
from echobook.papers.convrnn_t.experiment import CONTROLS, Sizes, build
from echobook.papers.convrnn_t.material import Material
from echobook.papers.convrnn_t.training import fit, training_settings

GRID = (1e-3, 2e-3, 4e-3)
FIRST, STEPS, BATCH, SEED = 300, 60, 16, 0  # updates on single words, on strings; of the trials below
# Development loss of the trials in nats, on 3,000 FSDD strings of one to four digits, as
# `bench/convrnn_t_rates.py` prints them. ContextNet's at 2e-3 is an accident of its many batch norms, whose
# running statistics were behind at that moment: its training loss was like that of 4e-3. The rule stands.
TRIALS: dict[str, dict[float, float]] = {
    "convrnn-t": {1e-3: 5.181, 2e-3: 5.150, 4e-3: 7.069},
    "rnn-t": {1e-3: 5.073, 2e-3: 4.221, 4e-3: 3.804},
    "conformer": {1e-3: 3.394, 2e-3: 3.651, 4e-3: 4.364},
    "contextnet": {1e-3: 6.261, 2e-3: 17.790, 4e-3: 5.055},
    "local-only": {1e-3: 5.844, 2e-3: 5.239, 4e-3: 5.138},
    "global-only": {1e-3: 4.244, 2e-3: 3.745, 4e-3: 3.809},
}


def best_rate(trials: Mapping[float, float]) -> float:
    """The rate with the lowest development loss; the lower rate of two equal ones.

    Raises ValueError for no trials.
    """
    if not trials:
        raise ValueError("no trials to choose a rate from")
    return min(trials, key=lambda rate: (trials[rate], rate))


def chosen_rate(name: str) -> float:
    """The peak learning rate of a model. Raises ValueError for a model without trials."""
    tried = "convrnn-t" if name in CONTROLS else name
    if tried not in TRIALS:
        raise ValueError(f"model {name!r} has no trials; expected one of {', '.join([*TRIALS, *CONTROLS])}")
    return best_rate(TRIALS[tried])


def try_rates(
    name: str,
    rates: Sequence[float],
    material: Material,
    *,
    first: int = FIRST,
    steps: int = STEPS,
    batch_size: int = BATCH,
    seed: int = SEED,
) -> dict[float, float]:
    """Development loss, in nats, of a fresh model after a short training at each rate."""
    sizes = Sizes(material.front_end.size)
    found = {}
    for rate in rates:
        model = build(name, sizes=sizes, classes=material.labels.classes, seed=seed)
        settings = training_settings(steps=steps, batch_size=batch_size, seed=seed, peak_rate=rate)
        trained = fit(model, material, settings, first=first, measure=development_loss)
        found[rate] = trained.history.scores[-1][1]
    return found
