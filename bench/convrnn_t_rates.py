"""The trials behind ConvRNN-T's learning rates: development loss of each model at each rate of the grid.

    python bench/convrnn_t_rates.py [MODEL ...]

Needs the FSDD recordings (`echobook fetch fsdd`) and about seven minutes of one core. Prints one JSON
line for each model; `echobook.papers.convrnn_t.rates.TRIALS` holds what it printed.
"""

import json
import sys
import time

import torch

from echobook.data.fetch import fetch
from echobook.papers.convrnn_t import material, rates
from echobook.papers.convrnn_t.experiment import ABLATIONS, COMPARED


def main(names: list[str]) -> None:
    """Try the grid on each named model, all by default."""
    torch.set_num_threads(1)
    counts = {"train": 3000, "dev": 100, "seen": 4, "unseen": 4}
    data = material.digits(fetch("fsdd") / "recordings", seed=rates.SEED, mels=24, longest=4, **counts)
    for name in names or [*COMPARED, *ABLATIONS]:
        start = time.process_time()
        found = rates.try_rates(name, rates.GRID, data)
        print(
            json.dumps(
                {"model": name, "development_loss": found, "cpu_s": round(time.process_time() - start)}
            )
        )


if __name__ == "__main__":
    main(sys.argv[1:])
