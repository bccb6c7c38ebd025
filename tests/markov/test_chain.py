"""Chains from counts: estimates, names of offending states, splitting a full matrix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from echobook.markov.chain import chain_from_counts, chain_from_matrix, chain_from_probabilities, unreachable


def test_counts_become_row_shares() -> None:
    chain = chain_from_counts([[0, 3], [1, 0]], [[1, 0], [0, 1]], states=["a", "b"], ends=["+", "-"])
    np.testing.assert_allclose(chain.q.toarray(), [[0, 0.75], [0.5, 0]])
    np.testing.assert_allclose(chain.r, [[0.25, 0], [0, 0.5]])
    assert chain.size == 2
    assert chain.index("b") == 1


def test_sparse_and_dense_counts_agree() -> None:
    moves, absorbed = np.array([[0, 2.0], [0, 0]]), np.array([[0.0], [4.0]])
    dense = chain_from_counts(moves, absorbed)
    thin = chain_from_counts(sparse.csr_array(moves), sparse.csr_array(absorbed))
    np.testing.assert_array_equal(dense.q.toarray(), thin.q.toarray())
    np.testing.assert_array_equal(dense.r, thin.r)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_rows_sum_to_one(size: int, ends: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    chain = chain_from_counts(rng.integers(0, 5, (size, size)), rng.integers(1, 5, (size, ends)))
    np.testing.assert_allclose(chain.q.sum(axis=1) + chain.r.sum(axis=1), 1, atol=1e-14)


def test_a_full_matrix_is_split() -> None:
    chain = chain_from_matrix([[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1]], states=["lost", "middle", "won"])
    assert chain.states == ("middle",)
    assert chain.ends == ("lost", "won")
    np.testing.assert_allclose(chain.r, [[0.5, 0.5]])


def test_reachability_goes_through_other_states() -> None:
    chain = chain_from_counts([[0, 1, 0], [0, 0, 1], [0, 0, 0]], [[0], [0], [1]])
    assert unreachable(chain).size == 0


def test_the_state_that_cannot_end_is_named() -> None:
    moves = [[0, 1, 0], [0, 0, 1], [0, 1, 0]]
    with pytest.raises(
        ValueError, match=r"state 'b' cannot reach an absorbing state \(\+\); 1 more states too"
    ):
        chain_from_counts(moves, [[1], [0], [0]], states=["a", "b", "c"], ends=["+"])


def test_the_state_without_counts_is_named() -> None:
    with pytest.raises(ValueError, match="state 'b' has no outgoing count"):
        chain_from_counts([[0, 1], [0, 0]], [[1], [0]], states=["a", "b"])


def test_a_missing_absorbing_state_is_refused() -> None:
    with pytest.raises(ValueError, match="a chain needs a transient and an absorbing state"):
        chain_from_counts([[0, 1], [1, 0]], np.zeros((2, 0)))
    with pytest.raises(ValueError, match="no absorbing state: expected at least one row"):
        chain_from_matrix([[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("q", "r", "message"),
    [
        ([[0.0, 0.5], [0, 0]], [[0.4], [1]], r"state 0 has probabilities that do not sum to one \(sum 0.9\)"),
        ([[-0.5]], [[1.5]], "q holds a negative value in row 0"),
        ([[0.0, 0], [0, -1]], [[1], [2]], "q holds a negative value in row 1"),
        ([[np.nan]], [[1.0]], "q holds a value that is not finite"),
        ([0.5], [[0.5]], "q must have two axes"),
        ([[0.5, 0]], [[0.5]], r"expected shapes \(S, S\) and \(S, A\), got \(1, 2\) and \(1, 1\)"),
    ],
)
def test_probabilities_are_checked(q: list, r: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chain_from_probabilities(q, r)


def test_names_must_be_distinct_and_known() -> None:
    with pytest.raises(ValueError, match="states must be 2 distinct names, got 2"):
        chain_from_counts([[0, 1], [0, 0]], [[0], [1]], states=["a", "a"])
    with pytest.raises(KeyError, match="'z' is not a transient state"):
        chain_from_counts([[0]], [[1]]).index("z")
    with pytest.raises(ValueError, match="p must be square"):
        chain_from_matrix([[1.0, 0.0]])
