"""Walks from a start distribution: truncated visit counts and most likely paths.

    v_d = p0 (I + Q + ... + Q^d)            expected visits in at most d steps (truncated fundamental matrix)
    path*(i, a) = argmax over paths i -> ... -> a of the product of their probabilities

Both touch only the states that can be reached, so they serve single sources of a chain too large to solve.
Rows of Q sum below one, so what the truncation leaves out is bounded by the mass still alive after d steps,
times the largest expected number of steps. Axis letters: B starts, S transient states, A absorbing states.
Paths use logarithms, so that long ones do not underflow; cost O(edges log S) by Dijkstra.
"""

import heapq

import numpy as np
from jaxtyping import Float
from scipy import sparse

from echobook.markov.chain import AbsorbingChain


def truncated_visits(chain: AbsorbingChain, starts: sparse.csr_array, *, depth: int) -> sparse.csr_array:
    """Expected visits to each state in at most `depth` steps, sparse (B, S).

    starts: (B, S) sparse start distributions, one a row. depth 0 returns the start itself. Raises
    ValueError for a negative depth or a wrong number of columns.
    """
    if depth < 0 or starts.shape[1] != chain.size:
        raise ValueError(
            f"need depth >= 0 and {chain.size} columns, got depth {depth} and shape {starts.shape}"
        )
    alive, visits = starts, starts.copy()
    for _ in range(depth):
        alive = alive @ chain.q
        visits = visits + alive
    return sparse.csr_array(visits)


def alive_after(chain: AbsorbingChain, starts: sparse.csr_array, *, depth: int) -> Float[np.ndarray, "B"]:
    """Probability of not being absorbed within `depth` steps, one a row of `starts`."""
    alive = starts
    for _ in range(depth):
        alive = alive @ chain.q
    return np.asarray(alive.sum(axis=1), dtype=np.float64)


def best_path_scores(
    chain: AbsorbingChain, start: int, *, depth: int
) -> dict[int, tuple[float, tuple[int, ...]]]:
    """Most likely path from one state to every state within `depth` steps: {state: (probability, path)}.

    Paths are compared by probability; the start is reached by the empty path with probability one.
    """
    best: dict[int, tuple[float, tuple[int, ...]]] = {start: (1.0, (start,))}
    frontier = dict(best)
    for _ in range(depth):
        reached: dict[int, tuple[float, tuple[int, ...]]] = {}
        for state, (probability, path) in frontier.items():
            for target, move in _leaving(chain, state):
                candidate = (probability * move, (*path, target))
                if candidate[0] > max(best.get(target, (0.0,))[0], reached.get(target, (0.0,))[0]):
                    reached[target] = candidate
        best.update(reached)
        frontier = reached
    return best


def most_likely_path(chain: AbsorbingChain, start: int, end: int) -> tuple[tuple[int, ...], float]:
    """Most likely path from transient state `start` into absorbing state `end`, with its probability.

    Returns the transient states passed, start included, and the probability of the whole path, absorption
    included. Raises ValueError when `end` cannot be reached from `start`.
    """
    queue: list[tuple[float, tuple[int, ...]]] = [(0.0, (start,))]
    closed: set[int] = set()
    while queue:
        cost, path = heapq.heappop(queue)
        if path[-1] == chain.size:
            return path[:-1], float(np.exp(-cost))
        if path[-1] in closed:
            continue
        closed.add(path[-1])
        leave = chain.r[path[-1], end]
        if leave > 0:
            heapq.heappush(queue, (cost - float(np.log(leave)), (*path, chain.size)))
        for target, move in _leaving(chain, path[-1]):
            if target not in closed:
                heapq.heappush(queue, (cost - float(np.log(move)), (*path, target)))
    raise ValueError(f"absorbing state {chain.ends[end]!r} cannot be reached from {chain.states[start]!r}")


def _leaving(chain: AbsorbingChain, state: int) -> list[tuple[int, float]]:
    span = slice(chain.q.indptr[state], chain.q.indptr[state + 1])
    return [
        (int(j), float(p))
        for j, p in zip(chain.q.indices[span], chain.q.data[span], strict=True)
        if p > 0 and j != state
    ]
