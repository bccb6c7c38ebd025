"""AUC inside groups: by hand, against pairs counted one by one, against scikit-learn, and properties."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from echobook.metrics.grouped_auc import grouped_auc, ranks_within


def slow(scores: np.ndarray, positive: np.ndarray) -> float:
    """All pairs of a positive and a negative, a tie counting half."""
    pairs = [(p > n) + (p == n) / 2 for p in scores[positive] for n in scores[~positive]]
    return float(np.mean(pairs))


def test_by_hand() -> None:
    """First group: one pair right, one tied; second: the only pair wrong; third: one kind only."""
    scores = np.array([2.0, 1, 2, 5, 1, 9])
    positive = np.array([True, False, False, False, True, True])
    groups = np.array([4, 4, 4, 7, 7, 9])
    found = grouped_auc(scores, positive, groups)
    assert found.groups.tolist() == [4, 7]
    assert found.values.tolist() == [0.75, 0.0]
    assert found.mean == 0.375


@pytest.mark.parametrize("seed", range(5))
def test_against_pairs_and_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, groups = rng.integers(0, 6, 200).astype(float), rng.integers(0, 8, 200)
    positive = rng.random(200) < 0.4
    found = grouped_auc(scores, positive, groups)
    for group, value in zip(found.groups, found.values, strict=True):
        rows = groups == group
        assert value == pytest.approx(slow(scores[rows], positive[rows]), abs=1e-12)
        assert value == pytest.approx(roc_auc_score(positive[rows], scores[rows]), abs=1e-12)


def test_ranks_start_anew_in_each_group() -> None:
    ranks = ranks_within(np.array([5.0, 1, 5, 3, 2]), np.array([0, 1, 0, 1, 0]))
    assert ranks.tolist() == [2.5, 1.0, 2.5, 2.0, 1.0]


def test_what_a_group_shares_cancels() -> None:
    rng = np.random.default_rng(7)
    scores, groups = rng.standard_normal(300), rng.integers(0, 20, 300)
    positive = rng.random(300) < 0.5
    level = rng.standard_normal(20) * 100
    one, other = (grouped_auc(s, positive, groups) for s in (scores, scores + level[groups]))
    np.testing.assert_allclose(one.values, other.values)
    np.testing.assert_array_equal(grouped_auc(level[groups], positive, groups).values, 0.5)
    np.testing.assert_allclose(grouped_auc(-scores, positive, groups).values, 1 - one.values)


@pytest.mark.parametrize(
    ("scores", "positive", "groups", "message"),
    [
        ([1.0, np.nan], [True, False], [0, 0], "row 1 is not finite"),
        ([1.0, 2.0], [True, False], [0, 1], "no group of 2 has positives and negatives"),
    ],
)
def test_refusals(scores: list[float], positive: list[bool], groups: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grouped_auc(np.array(scores), np.array(positive), np.array(groups))
