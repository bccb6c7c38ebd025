"""Lattice sums: by hand, against a cell-by-cell double loop, cuts, shifts, derivatives, extreme scores."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.speech.lattice import (
    backward_scores,
    forward_scores,
    from_diagonals,
    mask_outside,
    occupancy,
    to_diagonals,
)


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


# The lattice of the page about the transducer: blank and label probabilities, frame by frame, row by row.
STAY = torch.tensor([[[0.6, 0.5, 0.8], [0.5, 0.5, 0.5], [0.2, 0.2, 0.8]]], dtype=torch.float64).log()
WRITE = torch.tensor([[[0.2, 0.4, 0.0], [0.4, 0.2, 0.0], [0.5, 0.5, 0.0]]], dtype=torch.float64).log()


def test_three_frames_two_labels_by_hand():
    frames, counts = torch.tensor([3]), torch.tensor([2])
    alpha = from_diagonals(forward_scores(to_diagonals(STAY), to_diagonals(WRITE)), 3)[0].exp()
    beta = from_diagonals(backward_scores(to_diagonals(STAY), to_diagonals(WRITE), frames, counts), 3)[
        0
    ].exp()
    expected = torch.tensor([[1, 0.2, 0.08], [0.6, 0.34, 0.132], [0.3, 0.32, 0.226]], dtype=torch.float64)
    torch.testing.assert_close(alpha, expected)
    expected = torch.tensor([[0.1808, 0.268, 0.32], [0.212, 0.28, 0.4], [0.2, 0.4, 0.8]], dtype=torch.float64)
    torch.testing.assert_close(beta, expected)
    found = occupancy(STAY, WRITE, frames, counts)
    assert found.log_likelihood.exp().item() == pytest.approx(0.1808)
    assert found.blank[0, 0, 0].item() == pytest.approx(0.6 * 0.212 / 0.1808)
    assert found.label[0, 1, 1].item() == pytest.approx(0.34 * 0.2 * 0.4 / 0.1808)
    assert found.blank[0, 2].tolist() == pytest.approx([0, 0, 1])


def problem(seed, sizes, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    frames, counts = (torch.tensor(column) for column in zip(*sizes, strict=True))
    shape = (2, len(sizes), int(frames.max()), int(counts.max()) + 1)
    blank, label = (3 * torch.randn(shape, generator=g, dtype=dtype)).unbind()
    return blank, label, frames, counts


SIZES = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), sizes=SIZES)
def test_every_diagonal_cuts_all_paths(seed, sizes):
    # Each path crosses each anti-diagonal up to its own end once, so alpha * beta sums to P on every one.
    blank, label, frames, counts = problem(seed, sizes)
    stay, write = (to_diagonals(cells) for cells in mask_outside(blank, label, frames, counts))
    alpha, beta = forward_scores(stay, write), backward_scores(stay, write, frames, counts)
    crossing = (alpha + beta).logsumexp(-1)  # (N, B)
    for i, (t, u) in enumerate(sizes):
        evidence = beta[0, i, 0].expand(t + u)
        torch.testing.assert_close(crossing[: t + u, i], evidence, rtol=0, atol=1e-11)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), sizes=SIZES)
def test_shifts_and_neighbours(seed, sizes):
    blank, label, frames, counts = problem(seed, sizes)
    found = occupancy(blank, label, frames, counts)
    # each path has T blanks and U labels: a constant added to all moves moves log P and nothing else
    moved = occupancy(blank + 0.5, label - 0.25, frames, counts)
    torch.testing.assert_close(moved.log_likelihood, found.log_likelihood + 0.5 * frames - 0.25 * counts)
    torch.testing.assert_close(moved.blank, found.blank, atol=1e-10, rtol=0)
    torch.testing.assert_close(moved.label, found.label, atol=1e-10, rtol=0)
    for i, (t, u) in enumerate(sizes):
        one = slice(i, i + 1)
        alone = occupancy(blank[one, :t, : u + 1], label[one, :t, : u + 1], frames[one], counts[one])
        torch.testing.assert_close(alone.blank[0], found.blank[i, :t, : u + 1], atol=1e-12, rtol=0)
        torch.testing.assert_close(alone.log_likelihood[0], found.log_likelihood[i])


def test_occupancies_are_the_derivatives_of_the_evidence():
    blank, label, frames, counts = problem(7, [(4, 2), (2, 3)])
    found = occupancy(blank, label, frames, counts)
    step = 1e-6
    for cells, shares in ((blank, found.blank), (label, found.label)):
        for place in ((0, 0, 0), (0, 3, 2), (0, 1, 1), (1, 1, 2), (1, 0, 0), (1, 3, 0)):
            ends = []
            for sign in (1, -1):
                changed = cells.clone()
                changed[place] += sign * step
                both = (changed, label) if cells is blank else (blank, changed)
                ends.append(occupancy(*both, frames, counts, moves=False).log_likelihood.sum().item())
            assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(shares[place].item(), abs=1e-8)


def test_scores_far_below_the_smallest_number():
    # log P near -1e5: a sum of probabilities would be 0; float32 scores are summed in float64
    blank, label = torch.full((2, 1, 100, 21), -800.0).unbind()
    found = occupancy(blank, label, torch.tensor([100]), torch.tensor([20]))
    paths = math.lgamma(120) - math.lgamma(100) - math.lgamma(21)  # C(119, 20)
    assert found.log_likelihood.item() == pytest.approx(-800 * 120 + paths, abs=1e-6)
    assert found.log_likelihood.dtype == torch.float64
    torch.testing.assert_close(found.label[0, :, :20].sum(0), torch.ones(20, dtype=torch.float64))
