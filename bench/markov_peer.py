"""Absorption probabilities of a random chain of 200 states: python bench/markov_peer.py {echobook,pydtmc} N.

Run once in each environment; prints one JSON line with the fastest and the median processor time and a
checksum of the answer, which must agree between the two.
"""

import json
import statistics
import sys
import time

import numpy as np

STATES = 200


def matrix() -> np.ndarray:
    """A full transition matrix (202, 202): 200 transient states, two absorbing ones last."""
    rng = np.random.default_rng(0)
    full = np.zeros((STATES + 2, STATES + 2))
    full[:STATES] = rng.random((STATES, STATES + 2))
    full[:STATES] /= full[:STATES].sum(axis=1, keepdims=True)
    full[STATES:, STATES:] = np.eye(2)
    return full


def ours(p: np.ndarray) -> float:
    """From a full matrix to a checksum with echobook, validation included."""
    from echobook.markov.chain import chain_from_matrix
    from echobook.markov.solve import absorption_probabilities

    return float(absorption_probabilities(chain_from_matrix(p))[:, 0].sum())


def theirs(p: np.ndarray) -> float:
    """The same with PyDTMC."""
    from pydtmc import MarkovChain

    answer = np.asarray(MarkovChain(p).absorption_probabilities())
    return float(answer[0].sum() if answer.shape[0] == 2 else answer[:, 0].sum())


if __name__ == "__main__":
    run, times, checksum = {"echobook": ours, "pydtmc": theirs}[sys.argv[1]], [], 0.0
    run(matrix())
    for _ in range(int(sys.argv[2])):
        start = time.process_time()
        checksum = run(matrix())
        times.append(time.process_time() - start)
    found = {"least_ms": min(times) * 1e3, "median_ms": statistics.median(times) * 1e3, "checksum": checksum}
    sys.stdout.write(json.dumps({"library": sys.argv[1], **found}) + "\n")
