"""Messages along the edges of a graph, with gradients to the nodes and, if wanted, to the edges.

A fact is an undirected pair of nodes with a relation; it is kept as two directed edges, and the inverse
edge has a relation of its own. Edges are sorted by their head, so that a weighted sum over neighbours,

    out_h = sum over edges e = (h, t) of  value_e x_t ,

is one product of a sparse matrix (compressed rows) with a table. Its gradient with respect to the table is
the product with the transposed matrix, which has the same pattern, because every edge has an inverse: only
the values are permuted. Dropping edges or nodes sets values to zero and changes no pattern.

Axes: N nodes, E directed edges (twice the facts F), D features. Time O(E D), memory O(E + N D).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
from torch import Tensor


@dataclass(frozen=True)
class Graph:
    """Directed edges, sorted by head.

    Attributes:
        head, tail, relation: of each edge.
        inverse: place of the edge that runs the other way.
        fact: number of the fact that the edge comes from, 0 <= fact < F.
        start: place of each node's first edge; N + 1 numbers.
    """

    head: Int[Tensor, " E"]
    tail: Int[Tensor, " E"]
    relation: Int[Tensor, " E"]
    inverse: Int[Tensor, " E"]
    fact: Int[Tensor, " E"]
    start: Int[Tensor, " N1"]

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.start) - 1

    @property
    def facts(self) -> int:
        """Number of undirected facts."""
        return len(self.head) // 2

    def degree(self) -> Int[Tensor, " N"]:
        """Edges that leave each node."""
        return self.start[1:] - self.start[:-1]


def build_graph(
    heads: Int[np.ndarray, " F"],
    relations: Int[np.ndarray, " R"],
    tails: Int[np.ndarray, " T"],
    *,
    nodes: int,
    kinds: int,
) -> Graph:
    """Graph of facts (head, relation, tail); relation r gets the inverse r + ``kinds``.

    The same pair under two relations stays two facts.

    Raises:
        ValueError: lists of different lengths, a node or a relation out of range; the fact is named.
    """
    if not len(heads) == len(relations) == len(tails):
        raise ValueError(
            f"facts: {len(heads)} heads, {len(relations)} relations, {len(tails)} tails; expected as many"
        )
    for name, found, limit in (
        ("head", heads, nodes),
        ("tail", tails, nodes),
        ("relation", relations, kinds),
    ):
        if len(found) and (bad := np.flatnonzero((found < 0) | (found >= limit))).size:
            raise ValueError(
                f"fact {int(bad[0])}: {name} {int(found[bad[0]])}, expected 0 <= {name} < {limit}"
            )
    facts = len(heads)
    head, tail = np.concatenate([heads, tails]), np.concatenate([tails, heads])
    order = np.argsort(head, kind="stable")
    place = np.empty(2 * facts, dtype=np.int64)
    place[order] = np.arange(2 * facts)
    start = np.concatenate([[0], np.cumsum(np.bincount(head, minlength=nodes))])
    return Graph(
        *(
            torch.from_numpy(np.asarray(x, dtype=np.int64))
            for x in (
                head[order],
                tail[order],
                np.concatenate([relations, relations + kinds])[order],
                place[(order + facts) % (2 * facts)] if facts else order,
                order % facts if facts else order,
                start,
            )
        )
    )


class _Spread(torch.autograd.Function):
    """The product and its two gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, x: Tensor, graph: Graph) -> Tensor:
        ctx.save_for_backward(values, x)
        ctx.graph = graph
        return _product(graph, values, x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (values, x), graph, (gradient,) = ctx.saved_tensors, ctx.graph, gradients
        to_values = to_x = None
        if ctx.needs_input_grad[0]:
            at_head, at_tail = gradient.index_select(0, graph.head), x.index_select(0, graph.tail)
            to_values = (at_head * at_tail).sum(dim=1)  # (E,)
        if ctx.needs_input_grad[1]:
            to_x = _product(graph, values[graph.inverse], gradient)  # (N, D)
        return to_values, to_x, None


def _product(graph: Graph, values: Tensor, x: Tensor) -> Tensor:
    parts = (values.detach().numpy(), graph.tail.numpy(), graph.start.numpy())
    matrix = csr_matrix(parts, shape=(graph.nodes, graph.nodes), copy=False)
    return torch.from_numpy(matrix @ x.detach().contiguous().numpy())


def spread(values: Float[Tensor, " E"], x: Float[Tensor, "N D"], graph: Graph) -> Float[Tensor, "N D"]:
    """Weighted sum of every node's neighbours.

    Args:
        values: weight of each edge, in the order of ``graph``.
        x: features of each node.
        graph: who is whose neighbour. A node without edges receives zeros.

    Raises:
        ValueError: as many values as edges and as many rows as nodes are needed.
    """
    if len(values) != len(graph.head) or len(x) != graph.nodes:
        raise ValueError(
            f"expected {len(graph.head)} values and {graph.nodes} rows, got {len(values)} and {len(x)}"
        )
    out: Tensor = _Spread.apply(values, x, graph)  # type: ignore[no-untyped-call]
    return out


def keep_facts(
    graph: Graph,
    rate: float,
    rng: np.random.Generator,
) -> Bool[Tensor, " E"]:
    """Edge dropout: which edges stay when facts are dropped with probability ``rate``.

    A fact's two directions fall together. Raises ValueError for a rate outside [0, 1).
    """
    _check_rate(rate)
    kept = torch.from_numpy(rng.random(graph.facts) >= rate)
    return kept[graph.fact]


def keep_nodes(graph: Graph, rate: float, rng: np.random.Generator) -> Bool[Tensor, " E"]:
    """Node dropout: which edges stay when each node is dropped with probability ``rate``, with its edges.

    Raises ValueError for a rate outside [0, 1).
    """
    _check_rate(rate)
    kept = torch.from_numpy(rng.random(graph.nodes) >= rate)
    return kept[graph.head] & kept[graph.tail]


def _check_rate(rate: float) -> None:
    if not 0 <= rate < 1:
        raise ValueError(f"rate {rate}: expected a probability, 0 <= rate < 1")


def by_degree(graph: Graph, kept: Bool[Tensor, " E"] | None = None) -> Float[Tensor, " E"]:
    """Symmetric normalisation 1 / sqrt(degree_h degree_t) over the edges that are kept, 0 on the others."""
    mask = torch.ones(len(graph.head)) if kept is None else kept.float()
    degree = torch.zeros(graph.nodes).index_add_(0, graph.head, mask).clamp(min=1)
    return mask / (degree[graph.head] * degree[graph.tail]).sqrt()
