"""Softmax over the edges of a head, ours and PyTorch Geometric's: python bench/graphs_peer.py.

Needs both in one environment (`bench/requirements-graphs.txt`, and this package on the path). Both get the
same scores and heads; the largest gap is asserted first (bar 1e-6), then both are timed in turn, CPU time,
one thread, and the minimum and median of each and their ratio are printed (bar 1.0).
"""

import statistics
import time

import torch
from torch_geometric.utils import softmax

from echobook.graphs.attention import segment_softmax

NODES, EDGES, ROUNDS = 5_000, 200_000, 40


def timed(function) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def main() -> None:
    """Compare, then time."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(EDGES, generator=generator)
    head = torch.randint(0, NODES, (EDGES,), generator=generator).sort().values
    sides = {
        "echobook": lambda: segment_softmax(scores, head, nodes=NODES),
        "geometric": lambda: softmax(scores, head, num_nodes=NODES),
    }
    gap = float((sides["echobook"]() - sides["geometric"]()).abs().max())
    print(f"{NODES} nodes, {EDGES} edges: largest gap {gap:.2e}")
    assert gap <= 1e-6
    spent = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, function in sides.items():
            spent[name].append(timed(function))
    for name, seconds in spent.items():
        print(f"{name}: min {1e3 * min(seconds):.2f} ms, median {1e3 * statistics.median(seconds):.2f} ms")
    ours, theirs = (statistics.median(spent[name]) for name in ("echobook", "geometric"))
    print(f"ratio of medians: {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
