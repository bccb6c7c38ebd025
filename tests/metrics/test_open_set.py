"""Open-set scores: hand-worked values, scikit-learn as oracle, invariances, refusals."""

from inspect import unwrap  # the run-time shape check would answer first

import numpy as np
import pytest
from sklearn import metrics as peer

from echobook.metrics.open_set import (
    OPEN,
    auroc,
    best_threshold,
    class_f1,
    matched_open_f1,
    open_set_scores,
    reject_above,
)


def test_hand_worked_scores():
    truth, answers = np.array([0, 0, 1, OPEN]), np.array([0, OPEN, 1, OPEN])
    # Class 0: one of two found, nothing wrong: F1 2/3. Class 1: 1. Open: precision 1/2, recall 1: 2/3.
    scores = open_set_scores(truth, answers, classes=2)
    assert scores.known_f1 == pytest.approx((2 / 3 + 1) / 2)
    assert scores.open_f1 == pytest.approx(2 / 3)
    assert scores.f1 == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert scores.accuracy == 0.75


@pytest.mark.parametrize("seed", range(20))
def test_f1_agrees_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    truth, answers = rng.integers(-1, 4, 50), rng.integers(-1, 4, 50)
    expected = peer.f1_score(truth, answers, labels=[0, 1, 2, 3, -1], average=None, zero_division=0)
    assert class_f1(truth, answers, 4) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(20))
def test_auroc_by_pairs_and_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    scores, positive = rng.integers(0, 5, 30).astype(float), np.arange(30) % 3 == 0
    above = scores[positive][:, None] - scores[~positive][None]
    assert auroc(scores, positive) == pytest.approx(np.mean((above > 0) + (above == 0) / 2))
    assert auroc(scores, positive) == pytest.approx(peer.roc_auc_score(positive, scores))
    assert auroc(-scores, positive) == pytest.approx(1 - auroc(scores, positive))
    assert auroc(np.exp(scores), positive) == pytest.approx(auroc(scores, positive))


def test_threshold_separates_what_can_be_separated():
    novelty, unseen = np.array([0.1, 0.2, 0.3, 0.8, 0.9]), np.array([False, False, False, True, True])
    threshold = best_threshold(novelty, unseen)
    assert 0.3 <= threshold < 0.8
    assert reject_above(np.arange(5), novelty, threshold).tolist() == [0, 1, 2, OPEN, OPEN]


def test_matched_point():
    truth, best = np.array([0, 0, 1, 1, OPEN, OPEN]), np.array([0, 0, 1, 1, 0, 1])
    novelty = np.array([0.1, 0.2, 0.1, 0.2, 0.7, 0.9])
    assert matched_open_f1(truth, best, novelty, known_f1=1.0, classes=2) == 1
    with pytest.raises(ValueError, match="no threshold reaches"):
        matched_open_f1(truth, 1 - best, novelty, known_f1=0.9, classes=2)


def test_refusals():
    with pytest.raises(ValueError, match="both kinds"):
        auroc(np.array([0.1, 0.2]), np.array([True, True]))
    with pytest.raises(ValueError, match="expected 2 entries"):
        unwrap(auroc)(np.array([0.1, 0.2]), np.array([True]))
    with pytest.raises(ValueError, match="not finite"):
        auroc(np.array([np.nan, 0.2]), np.array([True, False]))
    with pytest.raises(ValueError, match="answers: expected classes -1"):
        class_f1(np.array([0]), np.array([5]), 2)
    with pytest.raises(ValueError, match="expected 1 entries"):
        unwrap(class_f1)(np.array([0]), np.array([0, 1]), 2)
