"""The method: weights by hand, losses against loops, gradients, regions, two players."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from echobook.papers.adversarial_reweighting import checks
from echobook.papers.adversarial_reweighting.baselines import (
    ByLoss,
    Even,
    KnownGroups,
    Leaky,
    MeanTwo,
    Shuffled,
    Weigher,
    joined_by,
)
from echobook.papers.adversarial_reweighting.method import (
    Adversary,
    Batch,
    PairWeights,
    Regions,
    Reweighting,
    binary_loss,
    find_regions,
    pairwise,
    per_query,
    sample_weights,
    softmax_loss,
    softmax_losses,
)
from echobook.papers.adversarial_reweighting.model import Similarity, SpeakerEncoder


def random_weights(seed: int, size: int = 5) -> tuple[Tensor, PairWeights]:
    generator = torch.Generator().manual_seed(seed)
    s = torch.randn(size, size, generator=generator, dtype=torch.float64)
    positive = torch.rand(size, generator=generator, dtype=torch.float64) + 0.5
    negative = torch.rand(size, size, generator=generator, dtype=torch.float64) + 0.5
    return s, PairWeights(positive, negative)


def test_weights_by_hand() -> None:
    q = sample_weights(torch.tensor([0.2, 0.6]))
    torch.testing.assert_close(q, torch.tensor([0.75, 1.25]))
    found = pairwise(q, q)
    torch.testing.assert_close(found.positive, torch.tensor([0.75, 1.25]))
    assert found.negative[0, 1] == found.negative[1, 0] == 1.0


@pytest.mark.parametrize("seed", range(4))
def test_weights_have_mean_one_and_a_floor(seed: int) -> None:
    f = torch.rand(24, generator=torch.Generator().manual_seed(seed))
    q, q2 = sample_weights(f), sample_weights(f.flip(0) ** 2)
    assert float(q.mean()) == pytest.approx(1, abs=1e-6)
    assert float(q.min()) >= 0.5
    pairs = pairwise(q, q2)
    apart = ~torch.eye(24, dtype=torch.bool)
    assert float(pairs.positive.mean()) == pytest.approx(1, abs=1e-6)
    assert float(pairs.negative[apart].mean()) == pytest.approx(1, abs=1e-6)
    queries = per_query(q, q2)
    assert torch.equal(queries.positive, q)
    assert (queries.negative == 1).all()


def test_no_outputs_do_not_divide_by_zero() -> None:
    assert torch.equal(sample_weights(torch.zeros(4)), torch.full((4,), 0.5))


@pytest.mark.parametrize("seed", range(4))
def test_losses_equal_loops(seed: int) -> None:
    s, weights = random_weights(seed)
    size = len(s)
    total, genuine, impostor = 0.0, 0.0, 0.0
    for i in range(size):
        others = sum(float(weights.negative[i, j] * s[i, j].exp()) for j in range(size) if j != i)
        total += float(weights.positive[i]) * float(-s[i, i] + np.log(float(s[i, i].exp()) + others))
        genuine += float(weights.positive[i]) * float(np.log1p(np.exp(-float(s[i, i]))))
        impostor += sum(
            float(weights.negative[i, j]) * np.log1p(np.exp(float(s[i, j]))) for j in range(size) if j != i
        )
    # float64 throughout: only the order of sums differs
    assert float(softmax_loss(s, weights)) == pytest.approx(total / size, abs=1e-12)
    slow = (genuine / size + impostor / (size * (size - 1))) / 2
    assert float(binary_loss(s, weights)) == pytest.approx(slow, abs=1e-12)


@pytest.mark.parametrize("loss", [softmax_loss, binary_loss])
def test_gradients_by_finite_differences(loss) -> None:  # type: ignore[no-untyped-def]
    s, weights = random_weights(3, size=4)
    s.requires_grad_()
    f = torch.rand(4, dtype=torch.float64, generator=torch.Generator().manual_seed(9)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, weights), (s,))
    fixed = s.detach()
    assert torch.autograd.gradcheck(
        lambda x: loss(fixed, pairwise(sample_weights(x), sample_weights(x.flip(0)))), (f,)
    )


def test_even_weights_are_the_plain_losses() -> None:
    assert checks.even_is_plain(0) < 1e-12
    assert checks.arl_weights(0) < 1e-12


def test_a_heavier_impostor_raises_the_softmax_loss() -> None:
    s, weights = random_weights(1)
    heavier = weights.negative.clone()
    heavier[0, 1] *= 2
    before, after = softmax_losses(s, weights.negative), softmax_losses(s, heavier)
    assert after[0] > before[0]
    assert torch.equal(after[1:], before[1:])


def test_the_adversary_starts_even() -> None:
    f = Adversary(5)(torch.randn(7, 5))
    assert torch.equal(f, torch.full((7,), 0.5))


def test_the_adversary_raises_its_loss() -> None:
    batch, s = checks.small_batch(1)
    weigher = Reweighting(pairwise, softmax_loss, size=checks.TINY, regions=0, rate=0.05)
    before = float(softmax_loss(s.detach(), weigher.weights(batch).detached()))
    for _ in range(20):
        weigher.ascend(s, batch)
    assert float(softmax_loss(s.detach(), weigher.weights(batch).detached())) > before + 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_no_gradient_between_the_players(seed: int) -> None:
    assert checks.leak(Reweighting, seed) == 0
    assert checks.leak(Shuffled, seed) == 0
    assert checks.learner_moves_adversary(seed) == 0
    assert checks.leaky_contrast(seed) > 1e-6


def test_the_leaky_control_leaks_as_a_derivative_says() -> None:
    """The gradient through the weights equals finite differences of the loss with similarities held fixed."""
    batch, s = checks.small_batch(2)
    weigher = checks._warm(Leaky, 2)
    fixed = s.detach()
    softmax_loss(fixed, weigher.weights(batch, leak=True)).backward()
    assert batch.query.grad is not None
    step = 1e-2
    moved = []
    for sign in (1, -1):
        query = batch.query.detach().clone()
        query[0, 0] += sign * step
        other = Batch(query, batch.support, batch.query_utterance, batch.support_utterance, batch.cell)
        moved.append(float(softmax_loss(fixed, weigher.weights(other)).detach()))
    slope = (moved[0] - moved[1]) / (2 * step)
    # float32 losses of about 5 with steps of 1e-2: errors of some 1e-4
    assert float(batch.query.grad[0, 0]) == pytest.approx(slope, abs=1e-3)


def test_regions_keep_their_numbers() -> None:
    assert checks.regions_moved(0) == 0
    rng = np.random.default_rng(0)
    points = np.concatenate([centre + 0.1 * rng.normal(size=(30, 2)) for centre in ([0, 0], [9, 0], [0, 9])])
    before = Regions(np.array([[9.0, 0], [0, 9], [0, 0]]), np.zeros(90, dtype=np.int64))
    after = find_regions(points, 3, seed=4, before=before)
    assert after.labels.tolist() == [2] * 30 + [0] * 30 + [1] * 30
    assert np.abs(after.centroids - before.centroids).max() < 0.2


def test_refresh_without_regions_is_nothing() -> None:
    weigher = Reweighting(pairwise, softmax_loss, size=4, regions=0, rate=0.1)
    weigher.refresh(np.zeros((5, 4)))
    assert weigher.regions is None


def test_shuffled_weights_are_the_same_numbers_on_other_pairs() -> None:
    weigher = checks._warm(Shuffled, 3)
    batch, s = checks.small_batch(3)
    found = weigher.step(s, batch)
    own = weigher.weights(batch).detached()
    torch.testing.assert_close(found.positive.sort().values, own.positive.sort().values)
    apart = ~torch.eye(6, dtype=torch.bool)
    torch.testing.assert_close(found.negative[apart].sort().values, own.negative[apart].sort().values)
    assert not torch.equal(found.positive, own.positive)


def test_mean_two_doubles_genuine_pairs() -> None:
    batch, s = checks.small_batch(4)
    found = checks._warm(MeanTwo, 4).step(s, batch)
    assert float(found.positive.mean()) == pytest.approx(2, abs=1e-5)


def test_rivals() -> None:
    batch, s = checks.small_batch(5)
    batch = Batch(
        batch.query,
        batch.support,
        batch.query_utterance,
        batch.support_utterance,
        np.array([0, 0, 0, 1, 1, 1]),
    )
    s = s.detach().clone()
    s[:3] -= 3 * torch.eye(6)[:3]  # group 0 has the higher loss
    losses = softmax_losses(s, torch.ones(6, 6))
    by_loss = ByLoss().step(s, batch)
    torch.testing.assert_close(by_loss.positive, (1 + losses / losses.mean()) / 2)
    groups = KnownGroups(2, rate=0.5)
    first = groups.step(s, batch).positive
    second = groups.step(s, batch).positive
    assert float(second.mean()) == pytest.approx(1, abs=1e-6)
    assert second[0] > first[0] > 1 > second[5]
    assert torch.equal(Even().step(s, batch).positive, torch.ones(6))
    for one in (ByLoss(), groups, Even()):
        assert isinstance(one, Weigher)


def test_joins_of_two_weights() -> None:
    q, r = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0])
    torch.testing.assert_close(joined_by("sum")(q, r).positive, torch.tensor([0.75, 1.25]))
    torch.testing.assert_close(joined_by("product")(q, r).positive, torch.tensor([0.5, 1.5]))
    torch.testing.assert_close(joined_by("max")(q, r).positive, torch.tensor([0.8, 1.2]))
    assert (joined_by("sum", "negatives")(q, r).positive == 1).all()
    assert (joined_by("sum", "positives")(q, r).negative == 1).all()
    torch.testing.assert_close(joined_by("sum")(q, r).negative, pairwise(q, r).negative)
    with pytest.raises(ValueError, match="sum, product or max"):
        joined_by("mean")


def test_the_encoder_gives_unit_vectors_of_about_its_size() -> None:
    encoder = SpeakerEncoder()
    found = encoder(torch.randn(6, 80, 40))
    assert found.shape == (6, 64)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(6))
    assert 80_000 < sum(weight.numel() for weight in encoder.parameters()) < 95_000


def test_evaluation_does_not_depend_on_the_batch() -> None:
    encoder = SpeakerEncoder().eval()
    frames = torch.randn(5, 90, 40)
    with torch.no_grad():
        whole, alone = encoder(frames), encoder(frames[2:3])
    torch.testing.assert_close(whole[2:3], alone, atol=1e-5, rtol=1e-5)  # float32 sums in another order


def test_the_scale_stays_positive() -> None:
    similarity = Similarity()
    unit = nn.functional.normalize(torch.randn(4, 8), dim=1)
    torch.testing.assert_close(similarity(unit, unit).diagonal(), torch.full((4,), 5.0))
    optimiser = torch.optim.SGD(similarity.parameters(), lr=1.0)
    similarity(unit, unit).sum().backward()
    optimiser.step()
    assert float(similarity.log_w.detach().exp()) > 0
