"""Quantities of an absorbing chain, each by a linear solve and never by an explicit inverse.

    N = (I - Q)^-1 = sum_k Q^k    expected visits         (Kemeny and Snell, theorem 3.2.1)
    B = N R                       absorption probabilities (theorem 3.3.7)
    t = N 1                       expected steps           (theorem 3.3.5)

Four solvers give the same numbers to 1e-10; `choose` picks by size and fill:

- dense: LAPACK on I - Q. Small or well-filled chains.
- components: states ordered by strongly connected components, then LU in that order. What fills in stays in
  the rows of a component, so a graph without cycles costs O(edges). Session graphs that fall apart into
  small pieces.
- iterative: x <- rhs + Q x accelerated by BiCGSTAB, with a certified error. Large, well-knit graphs, where
  a sparse factorisation would fill in.
- sparse: SuperLU with its own ordering. Large graphs with few edges a state, and the fall-back of the
  iterative solver.

The certificate: I - Q is an M-matrix, so a vector y >= 0 with (I - Q) y >= c 1, c > 0, bounds ||N||_inf by
max(y) / c, and the error of any x by that times its residual. Everything is float64. Axis letters: S
transient states, A absorbing states, K right-hand sides.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import bicgstab, splu

from echobook.markov.chain import AbsorbingChain

DENSE_STATES = 400  # below this a dense solve is faster than any bookkeeping
DENSE_FILL = 0.1  # from this share of non-zeros on, sparse factors are dense anyway
FEW_EDGES = 1.5  # edges a state below which sparse factors hardly fill in, whatever the graph
KNIT_EDGES = 3.0  # edges a state from which a large graph's sparse factors fill in
ERROR = 1e-11  # certified largest error of the iterative solver, relative to the largest entry of the answer
NEAR_SINGULAR = 1e-6  # rows of B may miss one by this much before the chain is refused


def choose(chain: AbsorbingChain) -> str:
    """Name the solver for this chain: by size, share of non-zeros, and how far the graph falls apart."""
    size, edges = chain.size, chain.q.nnz
    if size <= DENSE_STATES or edges >= DENSE_FILL * size * size:
        return "dense"
    if edges < FEW_EDGES * size:
        return "sparse"
    _, labels = connected_components(chain.q, directed=True, connection="strong")
    if np.bincount(labels).max() <= DENSE_STATES:
        return "components"
    return "iterative" if edges >= KNIT_EDGES * size else "sparse"


def solve(
    chain: AbsorbingChain, rhs: Float[np.ndarray, "S K"], *, method: str = "auto"
) -> Float[np.ndarray, "S K"]:
    """Solve (I - Q) X = rhs. Raises ValueError for a wrong number of rows or an unknown method."""
    if rhs.shape[0] != chain.size:
        raise ValueError(f"rhs must have {chain.size} rows, one for each transient state, got {rhs.shape[0]}")
    picked = choose(chain) if method == "auto" else method
    if picked not in _SOLVERS:
        raise ValueError(f"method must be auto, {', '.join(_SOLVERS)}; got {method!r}")
    return _SOLVERS[picked](chain.q, rhs.astype(np.float64))


def absorption_probabilities(
    chain: AbsorbingChain,
    *,
    method: str = "auto",
) -> Float[np.ndarray, "S A"]:
    """B: probability of ending in each absorbing state, rows sum to one.

    Raises ArithmeticError naming a state when the chain is so nearly closed that the
    rows do not sum to one within 1e-6 in float64 (expected steps near 1e10 and above).
    """
    b = solve(chain, chain.r, method=method)
    error = np.abs(b.sum(axis=1) - 1)
    if not error.max() <= NEAR_SINGULAR:  # also catches NaN
        state = chain.states[int(np.argmax(np.nan_to_num(error, nan=np.inf)))]
        raise ArithmeticError(
            f"the chain is nearly closed around state {state!r}: absorption "
            f"probabilities sum to one only within {error.max():.1g}; prune edges that "
            "are hardly ever left or merge the states"
        )
    return b


def expected_steps(chain: AbsorbingChain, *, method: str = "auto") -> Float[np.ndarray, "S"]:
    """t: expected number of steps until absorption, at least one."""
    return solve(chain, np.ones((chain.size, 1)), method=method)[:, 0]


def fundamental_matrix(chain: AbsorbingChain, *, method: str = "auto") -> Float[np.ndarray, "S S"]:
    """N: expected visits to each state from each start. Dense and S x S: for small chains and for
    teaching."""
    return solve(chain, np.eye(chain.size), method=method)


def _identity_minus(q: sparse.csr_array) -> sparse.csr_array:
    return sparse.csr_array(sparse.eye_array(q.shape[0], format="csr") - q)


def _dense(q: sparse.csr_array, rhs: np.ndarray) -> np.ndarray:
    system = -q.toarray()
    system.flat[:: q.shape[0] + 1] += 1.0
    return np.linalg.solve(system, rhs)


def _sparse(q: sparse.csr_array, rhs: np.ndarray) -> np.ndarray:
    return splu(_identity_minus(q).tocsc()).solve(rhs)


def _iterative(q: sparse.csr_array, rhs: np.ndarray) -> np.ndarray:
    system = _identity_minus(q)
    steps = _krylov(system, np.ones(q.shape[0]))
    slack = float((system @ steps).min())
    if not (slack > 0 and steps.min() >= 0):
        return _sparse(q, rhs)
    norm = float(steps.max()) / slack  # >= ||N||_inf
    found = np.column_stack([_krylov(system, column) for column in rhs.T]) if rhs.size else rhs.copy()
    error = norm * np.abs(system @ found - rhs).max(initial=0.0)
    return found if error <= ERROR * max(1.0, float(np.abs(found).max(initial=0.0))) else _sparse(q, rhs)


def _krylov(system: sparse.csr_array, column: np.ndarray) -> np.ndarray:
    found = np.zeros_like(column)
    for _ in range(3):  # restarts on the residual: iterative refinement
        residual = column - system @ found
        found = found + bicgstab(system, residual, rtol=1e-8, atol=1e-300, maxiter=500)[0]
    return found


def _components(q: sparse.csr_array, rhs: np.ndarray) -> np.ndarray:
    """SciPy numbers strong components sinks first, so that I - Q is block triangular in their order.

    The answer does not rest on that, only the fill. I - Q is an M-matrix: its diagonal is a safe pivot.
    """
    _, labels = connected_components(q, directed=True, connection="strong")
    order = np.argsort(labels, kind="stable")
    system = _identity_minus(q)[order][:, order].tocsc()
    factors = splu(system, permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    found = np.empty_like(rhs)
    found[order] = factors.solve(rhs[order])
    return found


_SOLVERS: dict[str, Callable[[sparse.csr_array, np.ndarray], np.ndarray]] = {
    "dense": _dense,
    "components": _components,
    "iterative": _iterative,
    "sparse": _sparse,
}
