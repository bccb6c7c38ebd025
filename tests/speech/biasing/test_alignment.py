"""The best path by hand and against enumeration; its loss against the lattice's; padding; gradients."""

import itertools

import pytest
import torch

from echobook.speech.biasing.alignment import best_paths, collate_paths, path_loss, pick
from echobook.speech.transducer import transducer_loss


def lattice(frames=(4, 3), counts=(2, 1), classes=4, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shape = (len(frames), max(frames), max(counts) + 1, classes)
    logits = torch.randn(shape, generator=generator, dtype=dtype)
    labels = torch.randint(1, classes, (len(frames), max(counts)), generator=generator)
    return logits, labels, torch.tensor(frames), torch.tensor(counts)


def moves_of(path):
    return list(zip(*(column.tolist() for column in path), strict=True))


def all_paths(labels, frames):
    """Every path: which of the moves before the closing blank write a label."""
    count = len(labels)
    for places in itertools.combinations(range(frames - 1 + count), count):
        t = u = 0
        moves = []
        for move in range(frames - 1 + count):
            if move in places:
                moves.append((t, u, labels[u]))
                u += 1
            else:
                moves.append((t, u, 0))
                t += 1
        yield [*moves, (t, u, 0)]


def score(logits, moves):
    logp = logits.log_softmax(-1)
    return sum(float(logp[move]) for move in moves)


def cells(logits, paths):
    """Logits of each path's cells, padded."""
    padded = collate_paths(paths)
    rows = torch.arange(len(paths))[:, None]
    return logits[rows, padded.times, padded.rows], padded


def test_by_hand():
    """Three frames and one label, which only the second frame wants."""
    logits = torch.zeros(1, 3, 2, 3)
    logits[0, :, :, 0] = 2.0
    logits[0, 1, 0, 2] = 5.0
    path = best_paths(logits, torch.tensor([[2]]), torch.tensor([3]), torch.tensor([1]))[0]
    assert moves_of(path) == [(0, 0, 0), (1, 0, 2), (1, 1, 0), (2, 1, 0)]


def test_one_frame_and_no_labels():
    logits = torch.zeros(1, 1, 1, 3)
    nothing = best_paths(logits, torch.zeros(1, 0, dtype=torch.long), torch.tensor([1]), torch.tensor([0]))
    assert moves_of(nothing[0]) == [(0, 0, 0)]
    two = best_paths(torch.zeros(1, 1, 3, 3), torch.tensor([[1, 2]]), torch.tensor([1]), torch.tensor([2]))
    assert moves_of(two[0]) == [(0, 0, 1), (0, 1, 2), (0, 2, 0)]


def test_a_tie_takes_the_blank():
    path = best_paths(torch.zeros(1, 2, 2, 2), torch.tensor([[1]]), torch.tensor([2]), torch.tensor([1]))[0]
    assert moves_of(path) in ([(0, 0, 1), (0, 1, 0), (1, 1, 0)],)  # read backwards, the blank comes first


@pytest.mark.parametrize("seed", range(6))
def test_against_every_path(seed):
    frames, counts = ((4, 3, 1), (2, 3, 1)) if seed % 2 else ((5, 2), (3, 0))
    logits, labels, lengths, sizes = lattice(frames, counts, seed=seed)
    for i, path in enumerate(best_paths(logits, labels, lengths, sizes)):
        every = list(all_paths(labels[i, : counts[i]].tolist(), frames[i]))
        best = max(every, key=lambda moves: score(logits[i], moves))
        assert moves_of(path) == best
        assert len(path.times) == frames[i] + counts[i]


def test_the_loss_is_the_score_of_the_path_and_bounds_the_lattice():
    logits, labels, lengths, sizes = lattice()
    paths = best_paths(logits, labels, lengths, sizes)
    found = path_loss(*cells(logits, paths))
    by_hand = -sum(score(logits[i], moves_of(path)) for i, path in enumerate(paths)) / 2
    assert float(found) == pytest.approx(by_hand, rel=1e-5)
    assert float(found) > float(transducer_loss(logits, labels, lengths, sizes))


def test_where_there_is_one_path_both_losses_are_the_same():
    logits, labels, lengths, sizes = lattice((1, 1), (3, 2))
    found = path_loss(*cells(logits, best_paths(logits, labels, lengths, sizes)))
    torch.testing.assert_close(found, transducer_loss(logits, labels, lengths, sizes))


def test_padding_and_neighbours_change_nothing():
    logits, labels, lengths, sizes = lattice((5, 3), (3, 1))
    both = best_paths(logits, labels, lengths, sizes)
    alone = best_paths(logits[1:, :3, :2], labels[1:, :1], lengths[1:], sizes[1:])
    assert moves_of(both[1]) == moves_of(alone[0])
    parts = [path_loss(*cells(logits[i : i + 1], [both[i]])) for i in range(2)]
    torch.testing.assert_close(path_loss(*cells(logits, both)), torch.stack(parts).mean())


def test_places_are_picked_per_utterance():
    stream = torch.arange(12.0).reshape(2, 3, 2)
    picked = pick(stream, torch.tensor([[0, 2], [1, 1]]))
    assert picked.tolist() == [[[0, 1], [4, 5]], [[8, 9], [8, 9]]]


def test_gradients_by_finite_differences():
    logits, labels, lengths, sizes = lattice(dtype=torch.float64)
    paths = best_paths(logits, labels, lengths, sizes)
    logits.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda z: path_loss(*cells(z, paths)), (logits,))


def test_lengths_out_of_range_reach_no_cell():
    logits, labels, lengths, sizes = lattice((4, 3), (2, 1))
    for path, frames, count in zip(best_paths(logits, labels, lengths, sizes), (4, 3), (2, 1), strict=True):
        assert int(path.times.max()) == frames - 1
        assert int(path.rows.max()) == count
        assert (path.classes != 0).sum() == count
