"""Softmax over the edges of each head, in one pass over a sorted list of edges.

For edges sorted by head h, with one score each,

    pi_e = exp(score_e - max_h) / sum over the edges e' of h of exp(score_e' - max_h) .

The largest score of a head is taken off first, so that no exponential overflows. A head without edges has
no share; edges that are masked out have share 0, and a head all of whose edges are masked out shares
nothing. Time O(E), memory O(E + N); the sums are in the dtype of the scores.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def segment_softmax(
    scores: Float[Tensor, " E"],
    head: Int[Tensor, " M"],
    *,
    nodes: int,
    kept: Bool[Tensor, " E"] | None = None,
) -> Float[Tensor, " E"]:
    """Share of each edge among the edges of its head.

    Args:
        scores: of each edge; any finite numbers.
        head: of each edge, 0 <= head < nodes, in any order.
        nodes: number of nodes.
        kept: edges that take part; all by default.

    Raises:
        ValueError: lists of different lengths, a head out of range, or a score that
            is not finite; the edge is named.
    """
    _check(scores, head, nodes)
    open_scores = scores if kept is None else scores.masked_fill(~kept, -torch.inf)
    most = torch.full((nodes,), -torch.inf, dtype=scores.dtype)
    most = most.scatter_reduce(0, head, open_scores.detach(), "amax")
    most = torch.where(most.isinf(), 0.0, most)
    raised = (open_scores - most[head]).exp()  # masked edges: 0
    total = torch.zeros(nodes, dtype=scores.dtype).index_add(0, head, raised)
    return raised / torch.where(total == 0, 1.0, total)[head]


def _check(scores: Tensor, head: Tensor, nodes: int) -> None:
    if len(scores) != len(head):
        raise ValueError(f"{len(scores)} scores for {len(head)} heads; expected as many")
    if len(head) and not 0 <= int(head.min()) <= int(head.max()) < nodes:
        raise ValueError(f"heads from {int(head.min())} to {int(head.max())}; expected 0 <= head < {nodes}")
    if not bool(scores.isfinite().all()):
        bad = int((~scores.isfinite()).nonzero()[0])
        raise ValueError(f"score of edge {bad} is {float(scores[bad])}; expected a finite number")


def renormalise(
    shares: Float[Tensor, " E"], head: Int[Tensor, " E"], kept: Bool[Tensor, " E"], *, nodes: int
) -> Float[Tensor, " E"]:
    """Shares after edges were dropped: 0 on the dropped ones, the others of a head again sum to one.

    The same as :func:`segment_softmax` with ``kept``, from shares instead of scores.
    """
    left = shares * kept
    total = torch.zeros(nodes, dtype=shares.dtype).index_add(0, head, left)
    return left / torch.where(total == 0, 1.0, total)[head]
