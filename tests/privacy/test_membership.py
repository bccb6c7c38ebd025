"""Attacks and exposure: small cases by hand, slow versions, refusals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.privacy.membership import confidence, exposure, judge_attack, lira_scores, wins
from echobook.privacy.taps import PrivacyError

FEW = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(FEW, FEW)
def test_the_auc_is_the_share_of_pairs_won_ties_half(members: list[float], others: list[float]) -> None:
    pairs = [(m > o) + 0.5 * (m == o) for m in members for o in others]
    found = judge_attack(np.asarray(members), np.asarray(others))
    assert found.auc == pytest.approx(np.mean(pairs))
    assert np.mean(wins(np.asarray(members), np.asarray(others))) == pytest.approx(found.auc)


@settings(max_examples=60, deadline=None)
@given(FEW, FEW)
def test_the_advantage_is_the_best_threshold(members: list[float], others: list[float]) -> None:
    cuts = [-99.0, *members, *others]
    best = max(np.mean(np.asarray(members) >= c) - np.mean(np.asarray(others) >= c) for c in cuts)
    assert judge_attack(np.asarray(members), np.asarray(others)).advantage == pytest.approx(max(0.0, best))


def test_a_perfect_and_a_blind_attack() -> None:
    perfect = judge_attack(np.full(5, 2.0), np.zeros(5))
    assert (perfect.auc, perfect.advantage, perfect.tpr_at_1) == (1.0, 1.0, 1.0)
    blind = judge_attack(np.zeros(5), np.zeros(5))
    assert (blind.auc, blind.advantage, blind.tpr_at_1) == (0.5, 0.0, 0.0)


def test_infinite_confidence_is_a_score() -> None:
    assert judge_attack(np.asarray([math.inf, 1.0]), np.asarray([-math.inf, 0.0])).auc == 1.0


def test_confidence_is_the_logit_and_stays_finite() -> None:
    assert confidence(np.log([0.5, 0.9])) == pytest.approx([0.0, math.log(9)])
    assert np.isfinite(confidence(np.asarray([0.0, -1e-18, -800.0]))).all()


def test_lira_by_hand() -> None:
    """Two shadows without each example; their pooled deviation is 1, means are 1 and 3."""
    shadows = np.asarray([[1 - 0.5**0.5, 3 - 0.5**0.5], [1 + 0.5**0.5, 3 + 0.5**0.5]])
    found = lira_scores(np.asarray([3.0, 3.0]), shadows, np.zeros((2, 2), dtype=bool))
    assert found == pytest.approx([2.0, 0.0])


def test_lira_leaves_out_shadows_that_saw_the_example() -> None:
    shadows = np.asarray([[0.0, 1.0], [2.0, 1.5], [100.0, 0.5]])
    saw = np.asarray([[False, False], [False, False], [True, False]])
    changed = shadows.copy()
    changed[2, 0] = -7.0
    target = np.asarray([1.0, 1.0])
    assert np.array_equal(lira_scores(target, shadows, saw), lira_scores(target, changed, saw))


def test_lira_beats_the_threshold_where_examples_differ_in_difficulty() -> None:
    rng = np.random.default_rng(0)
    hardness = rng.normal(0, 3, 400)
    target = hardness + np.repeat([1.0, 0.0], 200) + rng.normal(0, 0.5, 400)
    shadows = hardness + rng.normal(0, 0.5, (8, 400))
    z = lira_scores(target, shadows, np.zeros((8, 400), dtype=bool))
    assert judge_attack(z[:200], z[200:]).auc > judge_attack(target[:200], target[200:]).auc + 0.2


def test_exposure_by_hand() -> None:
    losses = np.asarray([[0.1, 0.5, 0.9, 0.7], [0.1, 0.5, 0.9, 0.7], [1.0, 1.0, 1.0, 1.0]])
    found = exposure(losses, np.asarray([0, 2, 3]))
    assert found == pytest.approx([2.0, 0.0, 2 - math.log2(2.5)])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: judge_attack(np.zeros(0), np.zeros(3)), "found 0 and 3"),
        (lambda: judge_attack(np.asarray([np.nan]), np.zeros(3)), "did the model diverge"),
        (lambda: lira_scores(np.zeros(3), np.zeros((2, 4)), np.zeros((2, 4), bool)), r"\(M, 3\)"),
        (
            lambda: lira_scores(np.zeros(1), np.zeros((2, 1)), np.asarray([[True], [False]])),
            "1 shadows without it",
        ),
        (lambda: exposure(np.zeros((2, 3)), np.zeros(1, dtype=int)), "one row of losses a canary"),
    ],
)
def test_refusals(call, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(PrivacyError, match=words):
        call()
