"""Softmax over the edges of a head: by hand, against a loop, gradients, limits, refusals."""

import math

import pytest
import torch

from echobook.graphs.attention import renormalise, segment_softmax


def slow(scores, head, nodes, kept=None):
    """One head at a time, one edge at a time, in plain Python."""
    kept = [True] * len(scores) if kept is None else kept.tolist()
    out = [0.0] * len(scores)
    for node in range(nodes):
        own = [e for e in range(len(scores)) if int(head[e]) == node and kept[e]]
        total = sum(math.exp(float(scores[e])) for e in own)
        for e in own:
            out[e] = math.exp(float(scores[e])) / total
    return torch.tensor(out, dtype=torch.float64)


def case(seed, edges=60, nodes=11):
    g = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(edges, generator=g, dtype=torch.float64)
    return scores, torch.randint(0, nodes, (edges,), generator=g), torch.rand(edges, generator=g) > 0.4


def test_by_hand():
    """Head 0 has scores ln 1 and ln 3, head 2 one edge, head 1 none."""
    scores = torch.tensor([0.0, math.log(3), 5.0])
    got = segment_softmax(scores, torch.tensor([0, 0, 2]), nodes=3)
    torch.testing.assert_close(got, torch.tensor([0.25, 0.75, 1.0]))


@pytest.mark.parametrize("seed", range(8))
def test_equal_to_a_loop(seed):
    """float64, sums of at most 60 terms: 1e-12 leaves room for the order of summation."""
    scores, head, kept = case(seed)
    torch.testing.assert_close(
        segment_softmax(scores, head, nodes=11), slow(scores, head, 11), atol=1e-12, rtol=0
    )
    masked = segment_softmax(scores, head, nodes=11, kept=kept)
    torch.testing.assert_close(masked, slow(scores, head, 11, kept), atol=1e-12, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_gradient(seed):
    scores, head, kept = case(seed, edges=12, nodes=4)
    scores.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: segment_softmax(s, head, nodes=4, kept=kept), (scores,))


@pytest.mark.parametrize("seed", range(3))
def test_shares_sum_to_one_and_a_constant_changes_nothing(seed):
    scores, head, _ = case(seed)
    shares = segment_softmax(scores, head, nodes=11)
    total = torch.zeros(11, dtype=torch.float64).index_add(0, head, shares)
    torch.testing.assert_close(total[head.unique()], torch.ones(len(head.unique()), dtype=torch.float64))
    raised = segment_softmax(scores + 1000.0, head, nodes=11)
    torch.testing.assert_close(raised, shares, atol=1e-10, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_dropping_later_is_dropping_before(seed):
    scores, head, kept = case(seed)
    later = renormalise(segment_softmax(scores, head, nodes=11), head, kept, nodes=11)
    torch.testing.assert_close(later, segment_softmax(scores, head, nodes=11, kept=kept), atol=1e-12, rtol=0)


def test_a_head_without_an_open_edge_shares_nothing():
    scores, head = torch.tensor([1.0, 2.0]), torch.tensor([0, 1])
    kept = torch.tensor([False, True])
    assert segment_softmax(scores, head, nodes=2, kept=kept).tolist() == [0.0, 1.0]
    assert renormalise(torch.ones(2), head, kept, nodes=2).tolist() == [0.0, 1.0]
    assert segment_softmax(torch.zeros(0), torch.zeros(0, dtype=torch.int64), nodes=2).tolist() == []


def test_refusals():
    head = torch.tensor([0, 1])
    with pytest.raises(ValueError, match="3 scores for 2 heads"):
        segment_softmax(torch.zeros(3), head, nodes=2)
    with pytest.raises(ValueError, match="heads from 0 to 1; expected 0 <= head < 1"):
        segment_softmax(torch.zeros(2), head, nodes=1)
    with pytest.raises(ValueError, match="score of edge 1 is nan"):
        segment_softmax(torch.tensor([0.0, torch.nan]), head, nodes=2)
