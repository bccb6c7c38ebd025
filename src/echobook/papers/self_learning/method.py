"""Rewrites mined from sessions by an absorbing Markov chain (Ponnusamy et al., AAAI 2020).

States are interpretations h; two absorbing states mean success and failure, a third, *other*, takes the
moves that are pruned because they are rare: they stay in n(h), so that a state with a few good endings and
many rare exits does not look certain to succeed. With p(h|u) = n(u, h) / n(u), Q and R from the counts of all
users' sessions, and N = (I - Q)^-1, a request u is scored by where its users end up content:

    pi_u(h) = sum_h0 p(h0|u) N[h0, h] R[h, success]        last success (probability of being absorbed from h)
    pi_u(h) = max over paths u -> h0 -> ... -> h of their probability, times R[h, success]     best path
    pi_u(h) = sum_h0 p(h0|u) Q[h0, h]                       next state (the pairwise baseline)
    pi_u(h) = sum_h0 p(h0|u) N[h0, h] (all ends at h)       last state, blind to success
    pi_u(h) = sum_h0 p(h0|u) Q[h0, h] R[h, success]         next success: the pairwise one that sees outcomes
    pi_u(h) = B[h, success] - sum_h0 p(h0|u) B[h0, success] for h within reach: absorption gain

The rewrite is u* = argmax over u' of n(u', h*) with argmax_h p(h|u') = h* and h* = argmax_h pi_u(h): the
commonest wording that reliably yields h*. It is kept when h* is not what u means already and the estimated
success rises by `margin`; with s(u) = sum_h p(h|u) (n+(h) + a) / (n(h) + a + b), or Wilson bounds of it
against small counts.

We read the paper's abstract, a blog article and the patent's claims; the scorers and margins are derived
from these. Axis letters: B texts, S states.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy import sparse

from echobook.markov.chain import AbsorbingChain, chain_from_counts
from echobook.markov.solve import absorption_probabilities
from echobook.markov.walks import best_path_scores, truncated_visits
from echobook.sessions.program import NOTHING, Counts

ENDS = ("success", "failure", "other")
SCORERS = ("last-success", "best-path", "next-state", "last-state", "next-success", "absorption-gain")


@dataclass(frozen=True)
class MiningRules:
    """When a rewrite is proposed. Counts are counts of turns, probabilities lie in [0, 1]."""

    scorer: str = "last-success"
    depth: int = 5  # longest path from a request to its rewrite, in turns
    min_moves: int = 3  # rarer edges are pruned
    keep_pruned: bool = True  # pruned moves count as ending in "other"; False forgets them (an ablation)
    min_texts: int = 8  # rarer requests are left alone
    margin: float = 0.15  # least gain of estimated success; -inf switches the test off
    prior: tuple[float, float] = (1.0, 1.0)  # Beta prior (a, b) of a state's success
    wilson_z: float = 0.0  # above 0: lower bound for the rewrite against upper bound for the request


@dataclass(frozen=True)
class SessionGraph:
    """The chain with what surrounds it: texts, p(h|u) and each state's success record."""

    chain: AbsorbingChain  # S states; ends are ENDS
    texts: tuple[str, ...]
    readings: sparse.csr_array  # (B, S) counts n(u, h)
    good: Float[np.ndarray, "S"]  # wanted visits
    seen: Float[np.ndarray, "S"]  # visits with known outcome


def session_graph(counts: Counts, rules: MiningRules) -> SessionGraph:
    """Prune rare moves into "other", drop states that never lead to an end, and estimate the chain.

    Raises ValueError when no session ends with a known outcome: without an absorbing state there is no chain.
    """
    if counts.ends.empty:
        raise ValueError(
            "no session ends with a known outcome; fill the outcome column (1 wanted, 0 not wanted)"
        )
    moves, index = _pruned(counts, rules)
    size = (len(index), len(index))
    q = _table(_places(index, moves.state), _places(index, moves.following), moves.n, size)
    ends = counts.ends.set_index("state").reindex(index).fillna(0)
    good, total = (ends[column].to_numpy(float) for column in ("good", "n"))
    other = _left(counts.moves, index) - _left(moves, index) if rules.keep_pruned else np.zeros(len(index))
    absorbed = np.column_stack([good, total - good, other])
    chain = chain_from_counts(q, absorbed, states=list(index), ends=ENDS)
    said = counts.emissions[counts.emissions.state.isin(index)]
    texts = pd.Index(sorted(set(said.text)))
    readings = _table(_places(texts, said.text), _places(index, said.state), said.n, (len(texts), len(index)))
    visits = counts.visits.set_index("state").reindex(index).fillna(0)
    return SessionGraph(chain, tuple(texts), readings, visits.good.to_numpy(float), visits.n.to_numpy(float))


def mine(graph: SessionGraph, rules: MiningRules) -> pd.DataFrame:
    """Propose rewrites: text, rewrite, state, gain of estimated success, n times heard.

    Nothing is blocked and chains are not resolved here; see `guardrails`. Raises
    ValueError for an unknown scorer.
    """
    heard = np.asarray(graph.readings.sum(axis=1)).ravel()
    current = _argmax_rows(graph.readings)
    rows = np.flatnonzero(heard >= rules.min_texts)
    if rows.size == 0:
        return pd.DataFrame(columns=["text", "rewrite", "state", "gain", "n"])
    target = _argmax_rows(score(graph, rows, rules))
    wording = wordings(graph, current)
    chosen = np.where(target >= 0, wording[target], -1)
    success = estimated_success(graph, rules)
    least = estimated_success(graph, rules, side=-1.0)
    most = estimated_success(graph, rules, side=1.0) if rules.wilson_z > 0 else success
    gain = np.where(chosen >= 0, least[chosen], -np.inf) - most[rows]
    fine = (chosen >= 0) & (chosen != rows) & (gain >= rules.margin)
    fine &= target != current[rows]
    names = np.array([*graph.texts, ""], dtype=object)
    states = np.array([*graph.chain.states, ""], dtype=object)
    frame = pd.DataFrame(
        {
            "text": names[rows],
            "rewrite": names[chosen],
            "state": states[target],
            "gain": gain,
            "n": heard[rows],
        }
    )
    understood = ~frame.state.str.startswith(NOTHING).to_numpy(bool)
    return frame[fine & understood].reset_index(drop=True)


def score(graph: SessionGraph, rows: Int[np.ndarray, "B"], rules: MiningRules) -> sparse.csr_array:
    """pi_u(h) for the chosen texts, sparse (B, S), by `rules.scorer`."""
    counts = sparse.csr_array(graph.readings[rows])
    starts = sparse.csr_array(sparse.diags_array(1.0 / np.asarray(counts.sum(axis=1)).ravel()) @ counts)
    chain = graph.chain
    if rules.scorer == "last-success":
        return sparse.csr_array(
            truncated_visits(chain, starts, depth=rules.depth) @ sparse.diags_array(chain.r[:, 0])
        )
    if rules.scorer == "last-state":
        ends = sparse.diags_array(chain.r[:, :2].sum(axis=1))  # success or failure
        return sparse.csr_array(truncated_visits(chain, starts, depth=rules.depth) @ ends)
    if rules.scorer == "next-state":
        return sparse.csr_array(starts @ chain.q)
    if rules.scorer == "next-success":
        return sparse.csr_array(starts @ chain.q @ sparse.diags_array(chain.r[:, 0]))
    if rules.scorer == "best-path":
        return _best_paths(chain, starts, rules.depth)
    if rules.scorer == "absorption-gain":
        return _absorption_gains(chain, starts, rules.depth)
    raise ValueError(f"scorer must be one of {', '.join(SCORERS)}; got {rules.scorer!r}")


def estimated_success(
    graph: SessionGraph, rules: MiningRules, *, side: float = 0.0
) -> Float[np.ndarray, "B"]:
    """s(u) for every text: posterior mean of its readings' success; side -1 or 1 gives the Wilson bound."""
    a, b = rules.prior
    if rules.wilson_z > 0 and side != 0:
        by_state = wilson(graph.good, graph.seen, z=rules.wilson_z, side=side)
    else:
        by_state = (graph.good + a) / (graph.seen + a + b)
    return np.asarray(graph.readings @ by_state) / np.asarray(graph.readings.sum(axis=1)).ravel()


def wilson(
    good: Float[np.ndarray, "S"], n: Float[np.ndarray, "S"], *, z: float, side: float
) -> Float[np.ndarray, "S"]:
    """Wilson's score bound of a share: side -1 lower, 1 upper; n = 0 gives 0 or 1 (nothing known)."""
    trials = np.maximum(n, 1.0)
    share = np.where(n > 0, good / trials, 0.5)
    width = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    bound = (share + z**2 / (2 * trials) + side * width) / (1 + z**2 / trials)
    return np.where(n > 0, bound, 0.5 + 0.5 * side)


def wordings(graph: SessionGraph, current: Int[np.ndarray, "B"]) -> Int[np.ndarray, "S1"]:
    """For each state the commonest text that mostly means it; -1 where there is none, and last."""
    best = np.full(graph.chain.size + 1, -1, dtype=np.int64)
    cells = graph.readings.tocoo()
    reliable = current[cells.row] == cells.col
    order = np.lexsort((-cells.row[reliable], cells.data[reliable]))  # ties: the first text in the alphabet
    best[cells.col[reliable][order]] = cells.row[reliable][order]
    return best


def _absorption_gains(chain: AbsorbingChain, starts: sparse.csr_array, depth: int) -> sparse.csr_array:
    success = absorption_probabilities(chain)[:, 0]
    cells = truncated_visits(chain, starts, depth=depth).tocoo()
    gains = np.where(cells.data > 0, success[cells.col] - (starts @ success)[cells.row], 0.0)
    return _table(cells.row, cells.col, gains, cells.shape)


def _best_paths(chain: AbsorbingChain, starts: sparse.csr_array, depth: int) -> sparse.csr_array:
    cells: dict[tuple[int, int], float] = {}
    for row in range(starts.shape[0]):
        for place in range(starts.indptr[row], starts.indptr[row + 1]):
            first, weight = int(starts.indices[place]), float(starts.data[place])
            for state, (probability, _) in best_path_scores(chain, first, depth=depth).items():
                value = weight * probability * chain.r[state, 0]
                cells[row, state] = max(value, cells.get((row, state), 0.0))
    places = np.array(list(cells), dtype=np.int64).reshape(-1, 2)
    values = np.array(list(cells.values()), dtype=np.float64)
    return _table(places[:, 0], places[:, 1], values, (starts.shape[0], chain.size))


def _pruned(counts: Counts, rules: MiningRules) -> tuple[pd.DataFrame, pd.Index]:
    """The moves that are kept, and the states that lead to an end by them, in order."""
    frequent = counts.moves.n >= rules.min_moves
    ending = set(counts.ends.state)
    if rules.keep_pruned:
        ending |= set(counts.moves.state[~frequent])
    moves = counts.moves[frequent]
    keep = _ending(moves, ending)
    index = pd.Index(sorted(keep))
    return moves[moves.state.isin(keep) & moves.following.isin(keep)], index


def _left(moves: pd.DataFrame, index: pd.Index) -> Float[np.ndarray, "S"]:
    """How often each state was left for another one."""
    return moves.groupby("state").n.sum().reindex(index).fillna(0).to_numpy(float)


def _ending(moves: pd.DataFrame, ending: set[str]) -> set[str]:
    """States from which a chain of moves leads to a state where sessions end."""
    while True:
        leading = set(moves.state[moves.following.isin(ending)]) - ending
        if not leading:
            return ending
        ending = ending | leading


def _places(index: pd.Index, names: pd.Series) -> np.ndarray:
    return index.get_indexer(pd.Index(names))


def _table(rows: np.ndarray, columns: np.ndarray, values: object, shape: tuple[int, int]) -> sparse.csr_array:
    return sparse.coo_array((np.asarray(values, dtype=float), (rows, columns)), shape=shape).tocsr()


def _argmax_rows(matrix: sparse.csr_array) -> np.ndarray:
    """Column of each row's largest entry (the first of equals), -1 for rows without a positive entry."""
    cells = matrix.tocoo()
    positive = cells.data > 0
    rows, columns, values = cells.row[positive], cells.col[positive], cells.data[positive]
    order = np.lexsort((-columns, values))
    best = np.full(matrix.shape[0], -1, dtype=np.int64)
    best[rows[order]] = columns[order]
    return best
