"""What our own code must do, as one figure each, against something that needs no trust in it.

ARL's published weight function, torch's own cross-entropies, automatic differentiation, and a public
definition of the equal error rate.
"""

import numpy as np
import torch
from scipy.optimize import brentq
from sklearn.metrics import roc_curve
from torch import nn

from echobook.metrics.verification import Trials, equal_error
from echobook.papers.adversarial_reweighting.baselines import Leaky
from echobook.papers.adversarial_reweighting.method import (
    Batch,
    Regions,
    Reweighting,
    binary_loss,
    even_weights,
    find_regions,
    pairwise,
    sample_weights,
    softmax_loss,
)

TINY = 8  # size of embeddings here


def arl_weights(seed: int) -> float:
    """Largest gap of twice our weights from ARL's 1 + f / max(mean f, 1e-4)."""
    generator = torch.Generator().manual_seed(seed)
    worst = 0.0
    for size, scale in ((2, 1.0), (24, 1.0), (24, 0.01)):
        f = scale * torch.rand(size, generator=generator, dtype=torch.float64)
        theirs = 1 + f / max(float(f.mean()), 1e-4)
        worst = max(worst, float((2 * sample_weights(f) - theirs).abs().max()))
    return worst


def even_is_plain(seed: int) -> float:
    """Largest gap between the losses with even weights and torch's own cross-entropies."""
    s = torch.randn(12, 12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    ones = even_weights(12)
    apart = ~torch.eye(12, dtype=torch.bool)
    plain = nn.functional.cross_entropy(s, torch.arange(12))
    bce = nn.functional.binary_cross_entropy_with_logits
    pairs = (bce(s.diagonal(), s.new_ones(12)) + bce(s[apart], s.new_zeros(132))) / 2
    gaps = (softmax_loss(s, ones) - plain).abs(), (binary_loss(s, ones) - pairs).abs()
    return float(max(gaps))


def small_batch(seed: int) -> tuple[Batch, torch.Tensor]:
    """Six speakers with embeddings that ask for gradients, and their similarities."""
    generator = torch.Generator().manual_seed(seed)
    query, support = (torch.randn(6, TINY, generator=generator).requires_grad_() for _ in range(2))
    unit = nn.functional.normalize
    place = np.arange(6)
    batch = Batch(query, support, place, place + 6, np.zeros(6, dtype=np.int64))
    return batch, 10 * unit(query) @ unit(support).T - 5


def _warm(kind: type[Reweighting], seed: int) -> Reweighting:
    """An adversary that has made twenty steps on a batch, so that its weights depend on embeddings."""
    found = kind(pairwise, softmax_loss, size=TINY, regions=3, rate=0.1, seed=seed)
    embeddings = np.random.default_rng(seed).normal(size=(12, TINY))
    found.refresh(embeddings)
    batch, s = small_batch(seed)
    for _ in range(20):
        found.ascend(s, batch)
    return found


def leak(kind: type[Reweighting], seed: int) -> float:
    """Largest gradient that reaches the embeddings through the weights: zero unless the kind is leaky."""
    weigher = _warm(kind, seed)
    batch, s = small_batch(seed)
    weights = weigher.step(s, batch)
    loss = softmax_loss(s.detach(), weights)
    if not loss.requires_grad:
        return 0.0
    loss.backward()
    found = [one.grad for one in (batch.query, batch.support) if one.grad is not None]
    return float(max(grad.abs().max() for grad in found)) if found else 0.0


def learner_moves_adversary(seed: int) -> float:
    """Largest change of the adversary by the learner's backward pass, and of the embeddings by its own."""
    weigher = _warm(Reweighting, seed)
    batch, s = small_batch(seed)
    weights = weigher.step(s, batch)
    untouched = float(max(0.0 if one.grad is None else one.grad.abs().max() for one in (batch.query,)))
    weigher.optimiser.zero_grad()
    softmax_loss(s, weights).backward()
    gradients = [one.grad for one in weigher.adversary.parameters()]
    return max(untouched, *(0.0 if one is None else float(one.abs().max()) for one in gradients))


def leaky_contrast(seed: int) -> float:
    """The same gradient as :func:`leak` in the leaky control: it must not be zero."""
    return leak(Leaky, seed)


def equal_error_gap(seed: int, *, rounds: int = 20) -> float:
    """Largest gap of our rate from a root search on the ROC curve, over random scores with ties."""
    rng = np.random.default_rng((seed, 61))
    worst = 0.0
    for _ in range(rounds):
        genuine = rng.random(300) < 0.3
        scores = np.round(rng.normal(size=300) + genuine, 1)
        far, hit, _ = roc_curve(genuine, scores, drop_intermediate=False)
        order = np.arange(len(far))
        public = brentq(
            lambda at, f=far, h=hit, o=order: 1 - np.interp(at, o, h) - np.interp(at, o, f),
            0.0,
            float(len(far) - 1),
            xtol=1e-13,
        )
        theirs = float(np.interp(public, order, far))
        worst = max(worst, abs(equal_error(Trials(scores, genuine).curve()).rate - theirs))
    return worst


def regions_moved(seed: int) -> float:
    """Share of utterances whose region changes its number when nothing but the search's seed changes."""
    rng = np.random.default_rng((seed, 67))
    centres = 10 * np.eye(TINY)
    points = np.repeat(centres, 20, axis=0) + 0.1 * rng.normal(size=(20 * TINY, TINY))
    before = find_regions(points, TINY, seed=seed)
    shuffled = rng.permutation(TINY)
    old = Regions(before.centroids[shuffled], np.argsort(shuffled)[before.labels])
    after = find_regions(points, TINY, seed=seed + 1, before=old)
    return float((after.labels != old.labels).mean())
