"""Full rankings in blocks: by hand, against a loop over users, properties, refusals."""

import math

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from echobook.graphs.full_ranking import rank_all, top_items


def slow(scores, seen, relevant, k):
    """One user at a time: sort all items, walk down the list."""
    recalls, ndcgs = [], []
    for user in range(len(scores)):
        wanted = [i for i in range(scores.shape[1]) if relevant[user, i]]
        if not wanted:
            continue
        left = [i for i in range(scores.shape[1]) if not seen[user, i]]
        ranked = sorted(left, key=lambda i: (-scores[user, i], i))[:k]
        recalls.append(sum(i in wanted for i in ranked) / len(wanted))
        gain = sum(1 / math.log2(r + 2) for r, i in enumerate(ranked) if i in wanted)
        ndcgs.append(gain / sum(1 / math.log2(r + 2) for r in range(min(len(wanted), k))))
    return recalls, ndcgs


def case(seed, users=23, items=17, levels=6):
    """Scores with many ties, some users without anything to find."""
    rng = np.random.default_rng(seed)
    kind = rng.random((users, items))
    kind[rng.random(users) < 0.2] = 0.5
    return rng.integers(0, levels, (users, items)).astype(float), kind < 0.2, kind > 0.85


def test_by_hand():
    """Items best first: 3 (seen), 1, 0, 2; to be found 0 and 2; the second and third place count."""
    scores = np.array([[2.0, 3.0, 1.0, 9.0]])
    seen, relevant = csr_matrix([[0, 0, 0, 1]]), csr_matrix([[1, 0, 1, 0]])
    two = rank_all(lambda users: scores[users], seen=seen, relevant=relevant, k=2)
    ideal = 1 + 1 / math.log2(3)
    assert two.recall.tolist() == [0.5]
    assert two.ndcg[0] == pytest.approx((1 / math.log2(3)) / ideal)
    three = rank_all(lambda users: scores[users], seen=seen, relevant=relevant, k=3)
    assert three.recall.tolist() == [1.0]
    assert three.ndcg[0] == pytest.approx((1 / math.log2(3) + 0.5) / ideal)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("k", [1, 5, 40])
def test_equal_to_a_loop(seed, k):
    scores, seen, relevant = case(seed)
    got = rank_all(lambda u: scores[u], seen=csr_matrix(seen), relevant=csr_matrix(relevant), k=k, block=4)
    recalls, ndcgs = slow(scores, seen, relevant, k)
    np.testing.assert_allclose(got.recall, recalls, atol=1e-12)
    np.testing.assert_allclose(got.ndcg, ndcgs, atol=1e-12)
    assert got.user.tolist() == np.flatnonzero(relevant.any(axis=1)).tolist()


def test_ties_go_to_the_smaller_number():
    assert top_items(np.array([[1.0, 2.0, 2.0, 2.0, 0.0]]), 2).tolist() == [[1, 2]]
    assert top_items(np.array([[1.0, 2.0, 2.0, 2.0, 0.0]]), 9).tolist() == [[1, 2, 3, 0, 4]]


@pytest.mark.parametrize("seed", range(3))
def test_blocks_and_scale_do_not_matter(seed):
    scores, seen, relevant = case(seed)
    both = {"seen": csr_matrix(seen), "relevant": csr_matrix(relevant), "k": 5}
    one = rank_all(lambda u: scores[u], **both, block=1)
    other = rank_all(lambda u: 7 * scores[u] - 3, **both, block=100)
    np.testing.assert_array_equal(one.ndcg, other.ndcg)
    np.testing.assert_array_equal(one.recall, other.recall)


def test_a_perfect_ranking_has_one():
    _, seen, relevant = case(4)
    got = rank_all(
        lambda u: relevant[u].astype(float), seen=csr_matrix(seen), relevant=csr_matrix(relevant), k=17
    )
    assert got.recall.min() == 1
    np.testing.assert_allclose(got.ndcg, 1)


def test_refusals():
    one, none = csr_matrix([[1, 0]]), csr_matrix([[0, 0]])
    with pytest.raises(ValueError, match="user 0: item 0 is to be found and taken out"):
        rank_all(lambda u: np.zeros((1, 2)), seen=one, relevant=one)
    with pytest.raises(ValueError, match=r"scores of shape \(1, 3\), expected \(1, 2\)"):
        rank_all(lambda u: np.zeros((1, 3)), seen=none, relevant=one)
    with pytest.raises(ValueError, match="a NaN"):
        rank_all(lambda u: np.full((1, 2), np.nan), seen=none, relevant=one)
    with pytest.raises(ValueError, match="k >= 1"):
        rank_all(lambda u: np.zeros((1, 2)), seen=none, relevant=one, k=0)
