"""Sampled negatives and the losses over pairs: by hand, against loops, gradients, refusals."""

import math

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from echobook.graphs.sampling import bpr_loss, info_nce, owned, sample_negatives


@pytest.fixture
def matrix():
    """User 0 has items 0 and 1, user 1 all four, user 2 none."""
    return csr_matrix(np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]))


def test_owned(matrix):
    assert owned(matrix, np.array([0, 0, 2]), np.array([1, 2, 3])).tolist() == [True, False, False]


def test_negatives_are_never_the_user_s_and_uniform_otherwise(matrix):
    users = np.repeat([0, 2], 4000)
    drawn, found = sample_negatives(users, matrix, np.random.default_rng(0))
    assert found.all()
    counts = [np.bincount(drawn[users == user], minlength=4) / 4000 for user in (0, 2)]
    np.testing.assert_allclose(counts[0], [0, 0, 0.5, 0.5], atol=0.032)  # 4 standard errors
    np.testing.assert_allclose(counts[1], [0.25] * 4, atol=0.028)


def test_a_user_with_everything_is_marked(matrix):
    _, found = sample_negatives(np.array([1, 0]), matrix, np.random.default_rng(0))
    assert found.tolist() == [False, True]


def test_a_pool_is_kept_to(matrix):
    pool = np.array([[2, -1, -1], [0, 3, -1], [-1, -1, -1]])
    drawn = np.stack(
        [
            sample_negatives(np.array([0, 2, 2]), matrix, np.random.default_rng(s), pool=pool)[0]
            for s in range(300)
        ]
    )
    assert set(drawn[:, 0]) == {2}
    assert set(drawn[:, 1]) == {0, 3}
    assert set(drawn[:, 2]) == {0, 1, 2, 3}


def test_the_same_seed_draws_the_same(matrix):
    users = np.zeros(50, dtype=np.int64)
    draws = [sample_negatives(users, matrix, np.random.default_rng(3))[0] for _ in range(2)]
    np.testing.assert_array_equal(*draws)


def test_bpr_by_hand():
    better, worse = torch.tensor([0.0, 2.0]), torch.tensor([0.0, 0.0])
    loss = bpr_loss(better, worse, torch.tensor([1.0, 3.0]))
    assert float(loss) == pytest.approx((math.log(2) + 3 * math.log(1 + math.exp(-2))) / 4)


@pytest.mark.parametrize("seed", range(4))
def test_info_nce_equals_a_loop(seed):
    torch.manual_seed(seed)
    one, other = torch.randn(2, 6, 3, dtype=torch.float64)
    total = 0.0
    for b in range(6):
        cosines = [float(one[b] @ row / (one[b].norm() * row.norm())) / 0.3 for row in other]
        total -= cosines[b] - math.log(sum(math.exp(c) for c in cosines))
    assert float(info_nce(one, other, temperature=0.3)) == pytest.approx(total / 6, abs=1e-12)


def test_equal_views_have_less_loss_than_unrelated_ones():
    torch.manual_seed(0)
    one, other = torch.randn(2, 50, 16)
    assert info_nce(one, one, temperature=0.2) < info_nce(one, other, temperature=0.2)


def test_gradients():
    torch.manual_seed(0)
    one, other = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True).unbind()
    assert torch.autograd.gradcheck(lambda a, b: info_nce(a, b, temperature=0.5), (one, other))
    scores = torch.randn(3, 4, dtype=torch.float64)
    scores[2] = scores[2].abs()
    scores.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: bpr_loss(s[0], s[1], s[2]), (scores,))


def test_refusals(matrix):
    with pytest.raises(ValueError, match="users 0 to 3; expected 0 <= user < 3"):
        sample_negatives(np.array([0, 3]), matrix, np.random.default_rng(0))
    with pytest.raises(ValueError, match="weights: expected none negative"):
        bpr_loss(torch.zeros(2), torch.zeros(2), torch.zeros(2))
    with pytest.raises(ValueError, match=r"temperature > 0 and two rows, got 0\.0 and 2"):
        info_nce(torch.ones(2, 2), torch.ones(2, 2), temperature=0.0)
    with pytest.raises(ValueError, match="two rows"):
        info_nce(torch.ones(1, 2), torch.ones(1, 2), temperature=0.5)
