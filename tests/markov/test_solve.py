"""Closed forms, dense inverse, Monte Carlo and near-singular chains for the four solvers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.markov.chain import (
    AbsorbingChain,
    chain_from_counts,
    chain_from_matrix,
    chain_from_probabilities,
)
from echobook.markov.solve import absorption_probabilities, choose, expected_steps, fundamental_matrix, solve

METHODS = ["dense", "components", "iterative", "sparse"]


def ruin(size: int, p: float) -> AbsorbingChain:
    """Gambler with 1..size-1 coins who wins a coin with probability p; ends are ruin and `size` coins."""
    full = np.diag([p] * (size), 1) + np.diag([1 - p] * (size), -1)
    full[0], full[-1] = 0, 0
    full[0, 0] = full[-1, -1] = 1
    return chain_from_matrix(full)


def random_chain(size: int, seed: int, edges: int = 3) -> AbsorbingChain:
    rng = np.random.default_rng(seed)
    moves = np.zeros((size, size))
    for i in range(size):
        moves[i, rng.integers(0, size, edges)] = rng.integers(0, 9, edges)
    return chain_from_counts(moves, rng.integers(1, 4, (size, 2)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("p", [0.3, 0.5, 0.6])
def test_gamblers_ruin_has_its_closed_form(method: str, p: float) -> None:
    size, start = 12, np.arange(1, 12)
    odds = (1 - p) / p
    wins = start / size if p == 0.5 else (1 - odds**start) / (1 - odds**size)
    np.testing.assert_allclose(absorption_probabilities(ruin(size, p), method=method)[:, 1], wins, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_fair_gambler_plays_i_times_n_minus_i_rounds(method: str) -> None:
    start = np.arange(1, 12)
    np.testing.assert_allclose(expected_steps(ruin(12, 0.5), method=method), start * (12 - start), rtol=1e-11)


def board(squares: int, jumps: dict[int, int], faces: int) -> AbsorbingChain:
    """Snakes and ladders: the last square ends the game; too high a throw stays put."""
    full = np.zeros((squares + 1, squares + 1))
    for here in range(squares):
        for throw in range(1, faces + 1):
            there = here + throw if here + throw <= squares else here
            full[here, jumps.get(there, there)] += 1 / faces
    full[squares, squares] = 1
    used = [s for s in range(squares + 1) if s not in jumps]
    return chain_from_matrix(full[np.ix_(used, used)])


def test_snakes_and_ladders_by_hand() -> None:
    """Two-faced die, three squares, ladder 1 -> 3: t0 = 1 + t2 / 2, t2 = 1 + t2 / 2, so t2 = 2 and t0 = 2."""
    np.testing.assert_allclose(expected_steps(board(3, {1: 3}, 2)), [2.0, 2.0])


def test_snakes_and_ladders_against_play() -> None:
    chain = board(30, {3: 22, 5: 8, 11: 26, 20: 29, 17: 4, 19: 7, 21: 9, 27: 1}, 6)
    lengths = [play(chain, np.random.default_rng(seed)) for seed in range(4000)]
    sigma = np.std(lengths) / np.sqrt(len(lengths))
    assert abs(np.mean(lengths) - expected_steps(chain)[0]) < 4 * sigma


def play(chain: AbsorbingChain, rng: np.random.Generator) -> int:
    table = np.hstack([chain.q.toarray(), chain.r])
    state, steps = 0, 0
    while state < chain.size:
        state, steps = int(rng.choice(table.shape[1], p=table[state] / table[state].sum())), steps + 1
    return steps


def test_absorption_against_monte_carlo() -> None:
    chain = random_chain(6, 3)
    table = np.cumsum(np.hstack([chain.q.toarray(), chain.r]), axis=1)
    rng = np.random.default_rng(0)
    ended = np.zeros(20000, dtype=int)
    while (ended < chain.size).any():
        going = np.flatnonzero(ended < chain.size)
        ended[going] = (rng.random(going.size)[:, None] > table[ended[going]]).sum(axis=1)
    share, expected = (ended == chain.size).mean(), absorption_probabilities(chain)[0, 0]
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / ended.size)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.sampled_from(METHODS))
def test_every_solver_equals_the_dense_inverse(size: int, seed: int, method: str) -> None:
    chain = random_chain(size, seed)
    inverse = np.linalg.inv(np.eye(size) - chain.q.toarray())
    np.testing.assert_allclose(fundamental_matrix(chain, method=method), inverse, atol=1e-10)
    np.testing.assert_allclose(absorption_probabilities(chain, method=method), inverse @ chain.r, atol=1e-10)
    np.testing.assert_allclose(absorption_probabilities(chain, method=method).sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("edges", [1, 2, 6])
def test_solvers_agree_on_larger_graphs(edges: int) -> None:
    chain = random_chain(700, edges, edges)
    answers = [solve(chain, chain.r, method=method) for method in [*METHODS, "auto"]]
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], atol=1e-10)


def test_components_follow_a_long_line_and_self_loops() -> None:
    """A line of n states with a loop of one half at each takes two steps a state."""
    size = 500
    moves = np.eye(size) + np.eye(size, k=1)
    ends = np.zeros((size, 1))
    ends[-1] = 1
    np.testing.assert_allclose(
        expected_steps(chain_from_counts(moves, ends), method="components"), 2.0 * np.arange(size, 0, -1)
    )


def acyclic(size: int, edges: int) -> AbsorbingChain:
    """Every state leads to `edges` later ones, so that each is a component of its own."""
    moves = sum(np.eye(size, k=step) for step in (1, 7, 60, 400)[:edges])
    return chain_from_counts(moves, np.ones((size, 1)))


def test_a_graph_without_cycles_is_solved_from_its_sinks() -> None:
    """By hand, last state first: t_i = 1 + sum_j Q_ij t_j over later states."""
    chain = acyclic(600, 4)
    expected, q = np.ones(600), chain.q.toarray()
    for state in reversed(range(600)):
        expected[state] += q[state, state + 1 :] @ expected[state + 1 :]
    np.testing.assert_allclose(expected_steps(chain, method="components"), expected, rtol=1e-12)


def test_small_components_hang_together() -> None:
    """Rings of five states, each leading on to the next ring; the answer is the dense one."""
    size = 100
    moves = np.zeros((size, size))
    for state in range(size):
        ring = state // 5 * 5
        moves[state, ring + (state + 1) % 5] = 3
        moves[state, min(state + 5, size - 1)] += 1
    chain = chain_from_counts(moves, np.ones((size, 2)))
    dense = solve(chain, chain.r, method="dense")
    np.testing.assert_allclose(solve(chain, chain.r, method="components"), dense, atol=1e-13)


def test_the_solver_is_chosen_by_size_and_fill() -> None:
    assert choose(random_chain(100, 0)) == "dense"
    line = chain_from_counts(np.eye(1000, k=1), np.ones((1000, 1)))
    assert choose(line) == "sparse"
    assert choose(acyclic(1000, 4)) == "components"
    assert choose(random_chain(1000, 0, 6)) == "iterative"
    ring = chain_from_counts(np.roll(np.eye(1000), 1, axis=1), np.ones((1000, 1)))
    assert choose(ring) == "sparse"


def test_visits_and_steps_agree() -> None:
    chain = random_chain(30, 1)
    np.testing.assert_allclose(fundamental_matrix(chain).sum(axis=1), expected_steps(chain))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("leak", [1e-3, 1e-6])
def test_rarely_left_pairs_are_still_solved(method: str, leak: float) -> None:
    """Two states that swap until a leak: 1 / leak steps. Condition 1/leak leaves 16 - 6 = 10 digits at
    worst."""
    chain = chain_from_probabilities([[0, 1 - leak], [1 - leak, 0]], [[leak], [leak]])
    np.testing.assert_allclose(expected_steps(chain, method=method), 1 / leak, rtol=1e-8)
    np.testing.assert_allclose(absorption_probabilities(chain, method=method), 1, atol=1e-8)


def test_a_closed_pair_is_refused_by_name() -> None:
    leak = 1e-14
    q = [[0, 1 - leak], [1 - 2 * leak, 0]]
    chain = chain_from_probabilities(q, [[leak], [2 * leak]], states=["left", "right"])
    with pytest.raises(ArithmeticError, match=r"nearly closed around state '(left|right)'"):
        absorption_probabilities(chain)


def test_wrong_rows_and_unknown_methods_are_refused() -> None:
    chain = random_chain(3, 0)
    with pytest.raises(ValueError, match="rhs must have 3 rows"):
        solve(chain, np.ones((2, 1)))
    with pytest.raises(ValueError, match="method must be auto, dense"):
        solve(chain, np.ones((3, 1)), method="magic")
