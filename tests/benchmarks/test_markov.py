"""Absorbing chains, printed: against SciPy's sparse and dense solves, and against PyDTMC where it is at hand.

PyDTMC holds numpy below 2, so it lives in an environment of its own, by default `.venv-bench`:

    python3 -m venv .venv-bench && .venv-bench/bin/pip install -r bench/requirements.txt

Run with `pytest -m benchmark tests/benchmarks/test_markov.py -s`. Answers are compared first.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from scipy import sparse
from scipy.sparse.linalg import spsolve

from echobook.markov.chain import AbsorbingChain, chain_from_counts
from echobook.markov.solve import absorption_probabilities, choose

pytestmark = [pytest.mark.benchmark, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
PEER = Path(os.environ.get("ECHOBOOK_BENCH_PYTHON", ROOT / ".venv-bench" / "bin" / "python"))
CHAINS = {  # states, edges a state, whether moves lead only onwards
    "200 states, full": (200, 200, False),
    "1000 states, 3 edges each": (1000, 3, False),
    "1000 states, 3 edges each, no cycle": (1000, 3, True),
    "3000 states, 10 edges each": (3000, 10, False),
    "3000 states, 10 edges each, no cycle": (3000, 10, True),
    "10000 states, 1 edge each": (10_000, 1, False),
    "10000 states, 10 edges each": (10_000, 10, False),
}


def chain(states: int, edges: int, onwards: bool) -> AbsorbingChain:
    """A random chain with two absorbing states."""
    rng = np.random.default_rng(0)
    start, end = np.repeat(np.arange(states), edges), rng.integers(0, states, states * edges)
    where = start, np.minimum(start + 1 + end, states - 1) if onwards else end
    moves = sparse.coo_array(
        (rng.integers(1, 9, states * edges).astype(float), where), shape=(states, states)
    )
    return chain_from_counts(moves, rng.integers(1, 9, (states, 2)))


def dense_solve(made: AbsorbingChain) -> np.ndarray:
    return scipy.linalg.solve(np.eye(made.size) - made.q.toarray(), made.r)


def sparse_solve(made: AbsorbingChain) -> np.ndarray:
    return spsolve((sparse.eye_array(made.size) - made.q).tocsc(), made.r)


def cpu_seconds(solver, made: AbsorbingChain) -> float:
    start = time.process_time()
    solver(made)
    return time.process_time() - start


@pytest.mark.parametrize("name", CHAINS)
def test_against_scipy(name, capsys):
    made = chain(*CHAINS[name])
    sides = {"ours": absorption_probabilities}
    if made.size <= 3000:  # a dense solve of ten thousand states needs minutes
        sides["dense"] = dense_solve
    if made.size <= 3000 or made.q.nnz < 3 * made.size:  # so do sparse factors that fill in
        sides["sparse"] = sparse_solve
    expected = absorption_probabilities(made, method="iterative")
    for solver in sides.values():
        np.testing.assert_allclose(solver(made), expected, atol=1e-10)
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(5):  # interleaved, so that all meet the same load
        for side, solver in sides.items():
            times[side].append(cpu_seconds(solver, made))
    least = {side: min(seconds) for side, seconds in times.items()}
    others = [seconds for side, seconds in least.items() if side != "ours"]
    bar = f", {least['ours'] / min(others):.2f} x the better of SciPy's (bar 1.5)" if others else " (bar 1 s)"
    shown = ", ".join(f"{side} {1e3 * seconds:.2f} ms" for side, seconds in least.items())
    with capsys.disabled():
        print(f"\n{name}, {made.q.nnz} edges, {choose(made)}: {shown}{bar}")


def measured(python: str | Path, library: str, repeats: int) -> dict[str, float]:
    """One side in a process and environment of its own, one thread."""
    command = [str(python), str(ROOT / "bench" / "markov_peer.py"), library, str(repeats)]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | threads)
    return json.loads(done.stdout)


@pytest.mark.skipif(not PEER.exists(), reason=f"no PyDTMC: make {PEER.parent.parent.name} as the file says")
def test_against_pydtmc(capsys):
    runs = [(measured(sys.executable, "echobook", 30), measured(PEER, "pydtmc", 3)) for _ in range(3)]
    for ours, theirs in runs:
        assert ours["checksum"] == pytest.approx(theirs["checksum"], abs=1e-9)
    least = [min(side["least_ms"] for side in sides) for sides in zip(*runs, strict=True)]
    middle = [statistics.median(side["median_ms"] for side in sides) for sides in zip(*runs, strict=True)]
    with capsys.disabled():
        print(
            f"\n200 states: ours {least[0]:.2f} ms (median {middle[0]:.2f}), PyDTMC {least[1]:.1f} ms "
            f"(median {middle[1]:.1f}), {least[1] / least[0]:.0f} x (bar 50)"
        )
