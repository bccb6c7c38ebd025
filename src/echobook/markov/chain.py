"""Absorbing Markov chains from counts, with every defect of the input named.

States are split into S transient and A absorbing ones. Counts of moves become the canonical form

    P = [[Q, R], [0, I]],   Q[i, j] = n(i -> j) / n(i),   R[i, a] = n(i -> a) / n(i),   n(i) = all moves
    out of i

(Kemeny and Snell, Finite Markov Chains, chapter III). A chain is accepted when each transient state can
reach an absorbing one; then I - Q is a non-singular M-matrix and everything in `solve` is defined.

Axis letters: S transient states, A absorbing states. Cost: O(edges) time and memory; Q stays sparse, R is
dense because A is two or three in practice. Numbers are float64: rows are sums of counts, so they add up
to one to the last few bits.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import sparse

ROW_TOLERANCE = 1e-9  # a probability row may miss one by this much (sums of up to 1e6 float64 quotients)


@dataclass(frozen=True)
class AbsorbingChain:
    """A validated chain: `q` is (S, S) sparse, `r` is (S, A) dense, with a name for each state."""

    q: sparse.csr_array
    r: Float[np.ndarray, "S A"]
    states: tuple[Hashable, ...]
    ends: tuple[Hashable, ...]

    @property
    def size(self) -> int:
        """Number of transient states."""
        return len(self.states)

    def index(self, state: Hashable) -> int:
        """Row of a transient state; raises KeyError naming it when there is none."""
        try:
            return self.states.index(state)
        except ValueError:
            raise KeyError(
                f"{state!r} is not a transient state of this chain of {self.size} states"
            ) from None


def chain_from_counts(
    moves: Any,
    absorbed: Any,
    *,
    states: Sequence[Hashable] | None = None,
    ends: Sequence[Hashable] | None = None,
) -> AbsorbingChain:
    """Estimate a chain by maximum likelihood from counts.

    moves: (S, S) counts of transient -> transient moves, dense or scipy sparse; absorbed: (S, A) counts of
    transient -> absorbing moves. Counts are finite and not negative; they may be weighted, hence real. Raises
    ValueError naming the first offending state when a row is empty or no absorbing state can be reached
    from it.
    """
    moves, absorbed = _as_counts(moves, "moves"), _as_counts(absorbed, "absorbed")
    names, end_names = _names(states, moves.shape[0], "states"), _names(ends, absorbed.shape[1], "ends")
    _check_shapes(moves, absorbed)
    totals = moves.sum(axis=1) + absorbed.sum(axis=1)
    _name_first(totals <= 0, names, "has no outgoing count; drop it or add where its sessions ended")
    scale = sparse.diags_array(1.0 / totals)
    q, r = sparse.csr_array(scale @ moves), (scale @ absorbed).toarray()
    return _reachable(AbsorbingChain(q, r, names, end_names))


def chain_from_probabilities(
    q: Any, r: Any, *, states: Sequence[Hashable] | None = None, ends: Sequence[Hashable] | None = None
) -> AbsorbingChain:
    """Accept Q (S, S) and R (S, A) as they are; rows of [Q R] must sum to one within 1e-9.

    Raises ValueError naming the first state whose row does not, or which cannot reach an absorbing state.
    """
    q, r = _as_counts(q, "q"), _as_counts(r, "r")
    names, end_names = _names(states, q.shape[0], "states"), _names(ends, r.shape[1], "ends")
    _check_shapes(q, r)
    total = q.sum(axis=1) + r.sum(axis=1)
    _name_first(np.abs(total - 1) > ROW_TOLERANCE, names, "has probabilities that do not sum to one", total)
    return _reachable(AbsorbingChain(q, r.toarray(), names, end_names))


def chain_from_matrix(p: Any, *, states: Sequence[Hashable] | None = None) -> AbsorbingChain:
    """Split a full transition matrix (N, N); a state that stays put with probability one is absorbing.

    Raises ValueError when no state is absorbing, or as `chain_from_probabilities` does.
    """
    full = _as_counts(p, "p")
    names = _names(states, full.shape[0], "states")
    if full.shape[0] != full.shape[1]:
        raise ValueError(f"p must be square, got shape {full.shape}")
    absorbing = full.diagonal() == 1.0
    if not absorbing.any():
        raise ValueError(
            "p has no absorbing state: expected at least one row with probability one of staying"
        )
    inner, outer = np.flatnonzero(~absorbing), np.flatnonzero(absorbing)
    rows = full[inner]
    return chain_from_probabilities(
        rows[:, inner], rows[:, outer], states=[names[i] for i in inner], ends=[names[i] for i in outer]
    )


def unreachable(chain: AbsorbingChain) -> np.ndarray:
    """Indices of transient states from which no absorbing state can be reached, ascending.

    Breadth-first search backwards from the absorbing states, O(S + edges).
    """
    reached = chain.r.sum(axis=1) > 0
    frontier = reached.copy()
    while frontier.any():
        frontier = (chain.q @ frontier.astype(np.float64) > 0) & ~reached
        reached |= frontier
    return np.flatnonzero(~reached)


def _reachable(chain: AbsorbingChain) -> AbsorbingChain:
    lost = np.zeros(chain.size, dtype=bool)
    lost[unreachable(chain)] = True
    _name_first(lost, chain.states, f"cannot reach an absorbing state ({', '.join(map(str, chain.ends))})")
    return chain


def _as_counts(values: Any, name: str) -> sparse.csr_array:
    raw = values if sparse.issparse(values) else np.asarray(values, dtype=np.float64)
    if raw.ndim != 2:
        raise ValueError(f"{name} must have two axes, got shape {raw.shape}")
    matrix = sparse.csr_array(raw, dtype=np.float64)
    if not np.isfinite(matrix.data).all():
        raise ValueError(f"{name} holds a value that is not finite")
    if (matrix.data < 0).any():
        raise ValueError(f"{name} holds a negative value in row {_row_of_first_negative(matrix)}")
    return matrix


def _row_of_first_negative(matrix: sparse.csr_array) -> int:
    return int(np.searchsorted(matrix.indptr, np.argmax(matrix.data < 0), side="right") - 1)


def _check_shapes(q: sparse.csr_array, r: sparse.csr_array) -> None:
    if q.shape[0] != q.shape[1] or q.shape[0] != r.shape[0]:
        raise ValueError(f"expected shapes (S, S) and (S, A), got {q.shape} and {r.shape}")
    if q.shape[0] == 0 or r.shape[1] == 0:
        raise ValueError(
            f"a chain needs a transient and an absorbing state, got shapes {q.shape} and {r.shape}"
        )


def _names(names: Sequence[Hashable] | None, count: int, what: str) -> tuple[Hashable, ...]:
    chosen = tuple(range(count)) if names is None else tuple(names)
    if len(chosen) != count or len(set(chosen)) != count:
        raise ValueError(
            f"{what} must be {count} distinct names, got {len(chosen)} ({len(set(chosen))} distinct)"
        )
    return chosen


def _name_first(
    bad: np.ndarray, names: Sequence[Hashable], why: str, values: np.ndarray | None = None
) -> None:
    if bad.any():
        first = int(np.argmax(bad))
        shown = "" if values is None else f" (sum {values[first]:.12g})"
        more = f"; {int(bad.sum()) - 1} more states too" if bad.sum() > 1 else ""
        raise ValueError(f"state {names[first]!r} {why}{shown}{more}")
