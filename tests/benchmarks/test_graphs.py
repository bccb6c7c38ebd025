"""Time of EASE on two thousand items, of a message along edges, and of attention's softmax.

Printed, not asserted (`make bench`); that each is right is asserted first. CPU time, one thread. The bar of
EASE is one second.
"""

import time

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix, random

from echobook.graphs.attention import segment_softmax
from echobook.graphs.edges import build_graph, spread
from echobook.papers.ckgat.baselines import ease_weights

pytestmark = [pytest.mark.benchmark, pytest.mark.slow]


def timed(function, rounds=5):
    """Least CPU seconds of a few calls, and the last result."""
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        out = function()
        spent.append(time.process_time() - start)
    return min(spent), out


def test_ease_on_two_thousand_items():
    x = csr_matrix(random(3000, 2000, density=0.01, rng=np.random.default_rng(0)) > 0, dtype=float)
    seconds, weights = timed(lambda: ease_weights(x, ridge=100.0), rounds=3)
    gram = (x.T @ x).toarray() + 100.0 * np.eye(2000)
    others = np.arange(1, 2000)
    slow = np.linalg.solve(gram[np.ix_(others, others)], gram[others, 0])
    np.testing.assert_allclose(weights[others, 0], slow, atol=1e-9)
    print(f"\nEASE, 3,000 users x 2,000 items: {seconds:.2f} s (bar 1 s)")


def test_messages_and_attention():
    rng = np.random.default_rng(0)
    heads, tails = rng.integers(0, 5000, (2, 100_000))
    graph = build_graph(heads, np.zeros(100_000, dtype=np.int64), tails, nodes=5000, kinds=1)
    x, scores = torch.randn(5000, 32), torch.randn(200_000)
    seconds, shares = timed(lambda: segment_softmax(scores, graph.head, nodes=5000))
    total = torch.zeros(5000).index_add(0, graph.head, shares)
    torch.testing.assert_close(total, torch.ones(5000), atol=1e-5, rtol=0)
    along, out = timed(lambda: spread(shares, x, graph))
    slow = torch.zeros(5000, 32).index_add(0, graph.head, shares[:, None] * x[graph.tail])
    torch.testing.assert_close(out, slow, atol=1e-5, rtol=0)
    print(f"\n5,000 nodes, 200,000 edges: softmax {1e3 * seconds:.1f} ms, messages {1e3 * along:.1f} ms")
