"""Lattice sums against a cell-by-cell double loop."""

import math

import pytest
import torch

from echobook.speech.lattice import from_diagonals, mask_outside, occupancy, to_diagonals


def looped(blank, label, frames, count):
    """alpha, beta and log P of one utterance, cell by cell."""
    alpha = torch.full((frames + 1, count + 1), -math.inf, dtype=torch.float64)
    beta = torch.full((frames + 1, count + 2), -math.inf, dtype=torch.float64)
    alpha[0, 0], beta[frames, count] = 0, 0
    for t in range(frames):
        for u in range(count + 1):
            ways = [alpha[t, u]] if t == u == 0 else []
            ways += [alpha[t - 1, u] + blank[t - 1, u]] if t else []
            ways += [alpha[t, u - 1] + label[t, u - 1]] if u else []
            alpha[t, u] = torch.stack(ways).logsumexp(0)
    for t in reversed(range(frames)):
        for u in reversed(range(count + 1)):
            right = beta[t, u + 1] + label[t, u] if u < count else torch.tensor(-math.inf).double()
            beta[t, u] = torch.logaddexp(beta[t + 1, u] + blank[t, u], right)
    return alpha, beta, alpha[frames - 1, count] + blank[frames - 1, count]


@pytest.mark.parametrize("seed", range(5))
def test_occupancy_equals_the_double_loop(seed):
    g = torch.Generator().manual_seed(seed)
    frames, counts = torch.tensor([6, 3, 1, 4]), torch.tensor([2, 4, 0, 4])
    blank, label = torch.randn(2, 4, 6, 5, generator=g, dtype=torch.float64).unbind()
    found = occupancy(blank, label, frames, counts)
    for i, (t, u) in enumerate(zip(frames.tolist(), counts.tolist(), strict=True)):
        alpha, beta, evidence = looped(blank[i], label[i], t, u)
        assert found.log_likelihood[i].item() == pytest.approx(evidence.item(), abs=1e-12)
        expected = (alpha[:t] + blank[i, :t, : u + 1] + beta[1:, : u + 1] - evidence).exp()
        torch.testing.assert_close(found.blank[i, :t, : u + 1], expected)
        expected = (alpha[:t, :u] + label[i, :t, :u] + beta[:-1, 1 : u + 1] - evidence).exp()
        torch.testing.assert_close(found.label[i, :t, :u], expected)


def test_occupancies_count_moves():
    g = torch.Generator().manual_seed(0)
    frames, counts = torch.tensor([6, 3]), torch.tensor([2, 4])
    blank, label = torch.randn(2, 2, 6, 5, generator=g).unbind()
    found = occupancy(blank, label, frames, counts)
    torch.testing.assert_close(found.blank.sum((1, 2)), frames.double())
    torch.testing.assert_close(found.label.sum((1, 2)), counts.double())
    assert found.blank[1, 3:].abs().sum() == 0
    assert found.label[0, :, 2:].abs().sum() == 0


def test_a_column_of_labels_at_each_frame():
    # Every label is written exactly once, at some frame: occupancies sum to 1 over time.
    blank, label = torch.zeros(2, 1, 4, 4).unbind()
    found = occupancy(blank, label, torch.tensor([4]), torch.tensor([3]))
    torch.testing.assert_close(found.label[0, :, :3].sum(0), torch.ones(3, dtype=torch.float64))
    # unit weights: log P = log of the number of paths, C(3+3, 3) = 20
    assert found.log_likelihood.exp().item() == pytest.approx(20)


def test_evidence_only():
    blank, label = torch.zeros(2, 1, 4, 4).unbind()
    found = occupancy(blank, label, torch.tensor([4]), torch.tensor([3]), moves=False)
    assert found.blank.shape == (1, 0, 4)
    assert found.log_likelihood.exp().item() == pytest.approx(20)


def test_impossible_utterance_has_no_evidence():
    blank, label = torch.zeros(2, 1, 2, 2).unbind()
    label = label - math.inf
    found = occupancy(blank, label, torch.tensor([2]), torch.tensor([1]), moves=False)
    assert found.log_likelihood.item() == -math.inf


def test_diagonals_go_there_and_back():
    cells = torch.arange(12.0).reshape(1, 3, 4)
    skewed = to_diagonals(cells)
    assert skewed.shape == (7, 1, 4)
    assert skewed[2, 0].tolist() == [8.0, 5.0, 2.0, -math.inf]  # (2,0), (1,1), (0,2)
    assert torch.equal(from_diagonals(skewed, 3), cells)


def test_mask_closes_moves_outside():
    blank, label = mask_outside(*torch.zeros(2, 1, 3, 3).unbind(), torch.tensor([2]), torch.tensor([1]))
    assert (blank == 0).tolist() == [[[True, True, False]] * 2 + [[False] * 3]]
    assert (label == 0).tolist() == [[[True, False, False]] * 2 + [[False] * 3]]
