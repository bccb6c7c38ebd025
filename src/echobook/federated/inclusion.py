"""How probable it is that a device takes part, when devices are drawn one after the other.

Let device k ring after an exponential time of rate p_k; the m that ring first are chosen. Device k,
ringing at time t, is among them if fewer than m others have rung, and others have rung independently with
probability 1 - exp(-p_j t):

    pi_k = integral over t of p_k exp(-p_k t) P(fewer than m of the others have rung by t) dt.

The probability under the integral is a Poisson-binomial one; for all k at once it comes from the
distributions of the devices before k and after k, truncated at m. All terms are positive, so nothing
cancels. The integral is Gauss and Legendre's over t = s u / (1 - u), s the time by which m devices have
rung on average; nodes are doubled until the pi_k sum to m, to 1e-9.

Axes: C clients, Q quadrature nodes, M = m counts. Time and memory O(C Q m); 600 devices and m = 10: 0.1 s.
"""

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

NODES, MOST_NODES = 128, 2048


def inclusion_probabilities(
    weights: Float[np.ndarray, " C"],
    m: int,
) -> Float[np.ndarray, " C"]:
    """pi_k of each device; they sum to m.

    Args:
        weights: any positive numbers; only their proportions matter.
        m: devices drawn, 1 to C.

    Raises:
        ValueError: m out of range, a weight that is not finite and positive,
            weights that span too much.
    """
    clients = len(weights)
    if not 1 <= m <= clients:
        raise ValueError(f"m: expected between 1 and {clients}, got {m}")
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError("weights: expected all finite and above 0")
    if m == clients or np.ptp(weights) == 0:
        return np.full(clients, m / clients)
    rates = weights / weights.sum()
    nodes = NODES
    while nodes <= MOST_NODES:
        found = _integral(rates, m, nodes)
        if abs(found.sum() - m) < 1e-9:
            return found
        nodes *= 2
    span = f"from {weights.min():g} to {weights.max():g} with m = {m} of {clients}"
    wide = f"weights: {span} is too wide a span for the integral"
    raise ValueError(f"{wide}; set a least weight, or choose fewer")


def _integral(rates: Float[np.ndarray, " C"], m: int, nodes: int) -> Float[np.ndarray, " C"]:
    times, mass = _nodes(rates, m, nodes)
    fewer = _fewer_than_m(-np.expm1(-rates[:, None] * times), m)  # (C, Q)
    density = rates[:, None] * np.exp(-rates[:, None] * times)
    return (density * fewer) @ mass


def _nodes(
    rates: Float[np.ndarray, " C"], m: int, nodes: int
) -> tuple[Float[np.ndarray, " Q"], Float[np.ndarray, " Q"]]:
    """Times and their weights for integrals over t > 0."""
    upper = 1.0
    while -np.expm1(-rates * upper).sum() < m - 0.5:
        upper *= 2
    scale = brentq(lambda t: float(-np.expm1(-rates * t).sum()) - (m - 0.5), 0.0, upper)
    u, w = np.polynomial.legendre.leggauss(nodes)
    u, w = (u + 1) / 2, w / 2
    return scale * u / (1 - u), w * scale / (1 - u) ** 2


def _fewer_than_m(rung: Float[np.ndarray, "C Q"], m: int) -> Float[np.ndarray, "C Q"]:
    """P(fewer than m of the devices other than k have rung), for each k and node."""
    before, after = _counts(rung, m), _counts(rung[::-1], m)[::-1]  # (C, Q, M): of devices before k, after k
    at_most = np.cumsum(after, axis=2)
    return np.einsum("cqi,cqi->cq", before, at_most[:, :, ::-1])


def _counts(rung: Float[np.ndarray, "C Q"], m: int) -> Float[np.ndarray, "C Q M"]:
    """Distribution of how many of the devices 0..k-1 have rung, for counts below m."""
    found = np.zeros((*rung.shape, m))
    found[0, :, 0] = 1.0
    for k in range(1, len(rung)):
        p = rung[k - 1][:, None]
        found[k] = found[k - 1] * (1 - p)
        found[k, :, 1:] += found[k - 1, :, :-1] * p
    return found
