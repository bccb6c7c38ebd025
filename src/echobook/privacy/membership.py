"""Membership inference: can an attacker tell the training examples of a model from others of the same kind?

An attack gives each example a score, larger for "member". The threshold attack (Yeom et al. 2018) takes the
logit of the probability of the right answer, log p - log(1 - p); LiRA (Carlini et al. 2022, the offline
form) compares
that logit with the ones of shadow models that were trained without the example: z = (logit - mean) /
    deviation.

Canaries are training examples with a random label. The exposure of a canary (Carlini et al. 2019) is log2
|labels| - log2 rank of its label among all by the model's loss: 0 expected bits are about log2(e) = 1.44
for a model that never saw it, log2 |labels| for one that knows it by heart."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.metrics import roc_auc_score, roc_curve

from echobook.privacy.taps import PrivacyError

Scores = Float[np.ndarray, "_"]  # lengths may differ between arguments


@dataclass(frozen=True)
class Attack:
    """How well an attack does.

    Attributes:
        auc: probability that a member scores above a non-member.
        advantage: largest TPR - FPR over thresholds.
        tpr_at_1: largest true positive rate at a false positive rate of at most .01.
    """

    auc: float
    advantage: float
    tpr_at_1: float


def judge_attack(members: Scores, others: Scores) -> Attack:
    """Figures of an attack from its scores on members and on non-members.

    Raises:
        PrivacyError: an empty side, or a score that is NaN.
    """
    if not len(members) or not len(others):
        raise PrivacyError(f"expected members and non-members, found {len(members)} and {len(others)}")
    scores = np.concatenate([members, others]).astype(np.float64)
    if np.isnan(scores).any():
        raise PrivacyError("scores: found NaN; did the model diverge?")
    truth = np.repeat([1, 0], [len(members), len(others)])
    finite = np.nan_to_num(scores, posinf=1e300, neginf=-1e300)
    false, true, _ = roc_curve(truth, finite, drop_intermediate=False)
    return Attack(
        float(roc_auc_score(truth, finite)), float((true - false).max()), float(true[false <= 0.01].max())
    )


def wins(members: Scores, others: Scores) -> Scores:
    """For each member, the share of non-members that it scores above, ties half: per-item scores of the
    AUC.
    """
    below = np.searchsorted(np.sort(others), members, side="left")
    upto = np.searchsorted(np.sort(others), members, side="right")
    return np.asarray((below + upto) / (2 * len(others)), dtype=np.float64)


def confidence(log_probabilities: Scores) -> Scores:
    """log p - log(1 - p) from log p, exact for p near 1 and finite (1 - p is held at 1e-12)."""
    rest = -np.expm1(np.minimum(log_probabilities, 0.0))
    return np.asarray(log_probabilities - np.log(np.maximum(rest, 1e-12)))


def lira_scores(
    target: Scores, shadows: Float[np.ndarray, "_ _"], trained_on: Bool[np.ndarray, "_ _"]
) -> Scores:
    """Offline LiRA: how far the target's confidence lies above that of shadows that did not see the example.

    Args:
        target: confidence of the model under attack in each of N examples.
        shadows: the same of M shadow models.
        trained_on: whether shadow m was trained on example n.

    Raises:
        PrivacyError: shapes that disagree, or an example that fewer than two shadows left out.
    """
    if shadows.shape != trained_on.shape or shadows.shape[1:] != target.shape:
        raise PrivacyError(
            f"expected shadows and trained_on of shape (M, {len(target)}), "
            f"found {shadows.shape}, {trained_on.shape}"
        )
    left_out = np.where(trained_on, np.nan, shadows)
    counts = (~trained_on).sum(axis=0)
    if counts.min() < 2:
        raise PrivacyError(
            f"example {int(counts.argmin())}: {counts.min()} shadows without it, expected at least 2"
        )
    centred = left_out - np.nanmean(left_out, axis=0)
    # One deviation for all examples: a handful of shadows is too few for one each (Carlini et al. 2022).
    pooled = np.sqrt(np.nansum(centred**2) / (counts - 1).sum())
    return np.asarray((target - np.nanmean(left_out, axis=0)) / max(float(pooled), 1e-6))


def exposure(losses: Float[np.ndarray, "_ L"], labels: Int[np.ndarray, "_"]) -> Scores:
    """Exposure of N canaries in bits: log2 L - log2 of the rank of the label among L by loss (ties: mean
    rank).
    """
    if losses.ndim != 2 or len(losses) != len(labels):
        raise PrivacyError(
            f"expected one row of losses a canary, found {losses.shape} and {len(labels)} labels"
        )
    own = losses[np.arange(len(labels)), labels][:, None]
    rank = 1 + (losses < own).sum(axis=1) + ((losses == own).sum(axis=1) - 1) / 2
    return np.asarray(np.log2(losses.shape[1]) - np.log2(rank))
