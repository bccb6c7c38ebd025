"""Truncated visits and most likely paths against enumeration."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from echobook.markov.chain import AbsorbingChain, chain_from_counts
from echobook.markov.solve import expected_steps, fundamental_matrix
from echobook.markov.walks import alive_after, best_path_scores, most_likely_path, truncated_visits


def small(seed: int, size: int = 4) -> AbsorbingChain:
    rng = np.random.default_rng(seed)
    return chain_from_counts(rng.integers(0, 4, (size, size)), rng.integers(1, 3, (size, 2)))


def test_depth_zero_is_the_start_and_depth_one_adds_a_step() -> None:
    chain = chain_from_counts([[0, 1], [0, 0]], [[1], [1]])
    start = sparse.csr_array([[1.0, 0.0]])
    np.testing.assert_array_equal(truncated_visits(chain, start, depth=0).toarray(), [[1, 0]])
    np.testing.assert_array_equal(truncated_visits(chain, start, depth=1).toarray(), [[1, 0.5]])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_the_truncation_error_is_bounded_by_what_is_alive(seed: int, depth: int) -> None:
    chain = small(seed)
    starts = sparse.csr_array(np.eye(4))
    missing = fundamental_matrix(chain) - truncated_visits(chain, starts, depth=depth).toarray()
    bound = alive_after(chain, starts, depth=depth + 1) * expected_steps(chain).max()
    assert (missing >= -1e-12).all()
    assert (missing.sum(axis=1) <= bound + 1e-12).all()


def all_paths(chain: AbsorbingChain, start: int, end: int) -> float:
    """Best probability over all simple paths, by enumeration."""
    q, others = chain.q.toarray(), [s for s in range(chain.size) if s != start]
    best = 0.0
    for length in range(len(others) + 1):
        for middle in itertools.permutations(others, length):
            path = (start, *middle)
            probability = np.prod([q[a, b] for a, b in itertools.pairwise(path)]) * chain.r[path[-1], end]
            best = max(best, float(probability))
    return best


@pytest.mark.parametrize("seed", range(12))
def test_most_likely_path_equals_enumeration(seed: int) -> None:
    chain = small(seed)
    for start, end in itertools.product(range(4), range(2)):
        if all_paths(chain, start, end) > 0:
            path, probability = most_likely_path(chain, start, end)
            assert path[0] == start
            assert probability == pytest.approx(all_paths(chain, start, end), rel=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_best_path_scores_equal_the_full_search(seed: int) -> None:
    chain = small(seed)
    scores = best_path_scores(chain, 0, depth=chain.size)
    for end in range(2):
        best = max(probability * chain.r[state, end] for state, (probability, _) in scores.items())
        assert best == pytest.approx(all_paths(chain, 0, end), rel=1e-12)


def test_depth_limits_the_paths() -> None:
    chain = chain_from_counts(np.eye(4, k=1), [[0], [0], [0], [1]])
    assert set(best_path_scores(chain, 0, depth=2)) == {0, 1, 2}
    assert best_path_scores(chain, 0, depth=3)[3] == (1.0, (0, 1, 2, 3))


def test_unreachable_ends_and_bad_depths_are_refused() -> None:
    chain = chain_from_counts([[0, 1], [0, 0]], [[0, 0], [1, 0]], states=["a", "b"], ends=["+", "-"])
    with pytest.raises(ValueError, match="absorbing state '-' cannot be reached from 'a'"):
        most_likely_path(chain, 0, 1)
    with pytest.raises(ValueError, match="need depth >= 0 and 2 columns"):
        truncated_visits(chain, sparse.csr_array([[1.0, 0.0]]), depth=-1)
