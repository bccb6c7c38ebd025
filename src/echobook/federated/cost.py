"""What a large fleet costs in one process: client updates a second, and peak memory.

A meter, not a kernel: it starts a Python process of its own, makes a fleet there, runs rounds by activity
with a linear model, and reads that process's own clock and resident memory. From a shell:

    python -m echobook.federated.cost [--devices 100000] [--m 1000] [--rounds 3]

prints one line of JSON. Seconds are of the rounds alone; memory is of the whole process.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from echobook.federated.aggregation import Equally
from echobook.federated.fleet import Fleet
from echobook.federated.local import LocalTraining
from echobook.federated.models import Softmax
from echobook.federated.rounds import Federation, run_rounds
from echobook.federated.selection import ByActivity

TABLE, FEATURES, CLASSES, MEAN_EXAMPLES = 15_000, 384, 150, 25  # as CLINC150 in MiniLM's vectors
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class FleetCost:
    """Devices, their examples, client updates, processor seconds of the rounds, peak resident memory in
    MiB.
    """

    devices: int
    examples: int
    updates: int
    seconds: float
    peak_mib: float

    @property
    def updates_per_second(self) -> float:
        """Client updates a processor second."""
        return self.updates / self.seconds


def large_fleet(devices: int, *, seed: int = 0) -> Fleet:
    """Devices of log-normal sizes (25 examples on average) over a table of random unit vectors."""
    rng = np.random.default_rng(seed)
    table = rng.standard_normal((TABLE, FEATURES), dtype=np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    raw = np.exp(1.5 * rng.standard_normal(devices))
    sizes = np.maximum(1, (MEAN_EXAMPLES * raw / raw.mean()).astype(np.int64))
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    rows = rng.integers(0, TABLE, offsets[-1])
    return Fleet(table, rng.integers(0, CLASSES, TABLE), rows, offsets)


def measure(devices: int, *, m: int, rounds: int, uniform: bool = False) -> FleetCost:
    """Run rounds in this process and return what they cost."""
    fleet, model = large_fleet(devices), Softmax(FEATURES, CLASSES)
    selection = ByActivity(0.0 if uniform else 1.0)
    federation = Federation(model, LocalTraining(rate=10.0), selection, Equally(), m)
    start = time.process_time()
    for _ in run_rounds(federation, fleet, model.start(0), rounds=rounds, seed=0):
        pass
    seconds = time.process_time() - start
    return FleetCost(devices, int(fleet.counts.sum()), m * rounds, seconds, peak_mib())


def fleet_cost(devices: int, *, m: int, rounds: int, uniform: bool = False) -> FleetCost:
    """The same in a fresh process. Raises RuntimeError with the process's last line when it fails."""
    options = ["--devices", str(devices), "--m", str(m), "--rounds", str(rounds)]
    options += ["--uniform"] if uniform else []
    command = [sys.executable, "-P", "-m", "echobook.federated.cost", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no message"]
        raise RuntimeError(f"a fleet of {devices} devices failed: {said[-1]}")
    return FleetCost(**json.loads(done.stdout.splitlines()[-1]))


def peak_mib() -> float:
    """Peak resident memory of this process, in MiB; 0 where the system does not say."""
    text = STATUS.read_text(encoding="utf-8") if STATUS.exists() else ""
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    return int(found[1]) / 1024 if found else 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure in this process and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m echobook.federated.cost")
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--m", type=int, default=1000, help="devices a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--uniform", action="store_true", help="select uniformly, not by activity")
    chosen = parser.parse_args(arguments)
    cost = measure(chosen.devices, m=chosen.m, rounds=chosen.rounds, uniform=chosen.uniform)
    sys.stdout.write(json.dumps(asdict(cost)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
