"""The facts of the graph as translations (TransR, Lin et al. 2015), as KGAT trains them.

For a fact (h, r, t) with entity vectors e of size D, a relation vector e_r and a projection W_r (D x D),

    g(h, r, t) = || e_h W_r + e_r - e_t W_r ||^2 ,      loss = mean softplus(g(h, r, t) - g(h, r, t')) ,

with t' a node for which (h, r, t') is no fact. True facts are near, false ones far. The same projections
give the attention of an edge, softmax over all edges of a head of (e_t W_r) . tanh(e_h W_r + e_r). The
projected vectors are not normalised, as in KGAT's published code.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from echobook.graphs.attention import segment_softmax
from echobook.graphs.edges import Graph


class Translations(nn.Module):
    """Vectors and projections of all relations, inverse ones included.

    Args:
        graph: its edges are the facts, users' pairs among them.
        size: D, of entity and relation vectors.
    """

    def __init__(self, graph: Graph, size: int) -> None:
        super().__init__()
        self.graph, self.relations = graph, int(graph.relation.max()) + 1 if len(graph.relation) else 1
        self.vectors = nn.Parameter(torch.empty(self.relations, size))
        self.projections = nn.Parameter(torch.empty(self.relations, size, size))
        nn.init.xavier_uniform_(self.vectors)
        for projection in self.projections:
            nn.init.xavier_uniform_(projection)
        self._groups = grouped(graph.relation)
        self._keys = np.sort(self._key(graph.head.numpy(), graph.relation.numpy(), graph.tail.numpy()))

    def _key(self, head: np.ndarray, relation: np.ndarray, tail: np.ndarray) -> np.ndarray:
        return (head * self.relations + relation) * self.graph.nodes + tail

    def distance(
        self,
        table: Float[Tensor, "N D"],
        head: Int[Tensor, " B"],
        relation: Int[Tensor, " B"],
        tail: Int[Tensor, " B"],
    ) -> Float[Tensor, " B"]:
        """g of each fact, in the order of the relations' groups given by :func:`grouped`."""
        apart, found = table[head] - table[tail], []
        for number, at in grouped(relation):
            found.append((apart[at] @ self.projections[number] + self.vectors[number]).square().sum(dim=1))
        return torch.cat(found)

    def loss(self, table: Float[Tensor, "N D"], rng: np.random.Generator, *, batch: int) -> Float[Tensor, ""]:
        """Loss of a batch of edges drawn uniformly, each with one false tail."""
        edge = rng.integers(0, len(self.graph.head), batch)
        head, relation, tail = (
            part[edge] for part in (self.graph.head, self.graph.relation, self.graph.tail)
        )
        false = torch.from_numpy(self.false_tails(head.numpy(), relation.numpy(), rng))
        near, far = self.distance(table, head, relation, tail), self.distance(table, head, relation, false)
        return functional.softplus(near - far).mean()

    def false_tails(
        self, head: Int[np.ndarray, " B"], relation: Int[np.ndarray, " B"], rng: np.random.Generator
    ) -> Int[np.ndarray, " B"]:
        """A node for each (head, relation) that makes no fact with it; after ten tries any node."""
        tail = rng.integers(0, self.graph.nodes, len(head))
        for _ in range(10):
            key = self._key(head, relation, tail)
            place = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
            bad = np.flatnonzero(self._keys[place] == key)
            if not bad.size:
                break
            tail[bad] = rng.integers(0, self.graph.nodes, len(bad))
        return tail

    @torch.no_grad()
    def attention(self, table: Float[Tensor, "N D"]) -> Float[Tensor, " E"]:
        """Share of each edge among all edges of its head, over all relations."""
        scores = torch.zeros(len(self.graph.head))
        for relation, at in self._groups:
            head = table[self.graph.head[at]] @ self.projections[relation]
            tail = table[self.graph.tail[at]] @ self.projections[relation]
            scores[at] = (tail * torch.tanh(head + self.vectors[relation])).sum(dim=1)
        return segment_softmax(scores, self.graph.head, nodes=self.graph.nodes)


def grouped(relation: Int[Tensor, " B"]) -> list[tuple[int, Int[Tensor, " _"]]]:
    """The relations in increasing order, each with the places at which it stands."""
    order = torch.argsort(relation, stable=True)
    numbers, counts = torch.unique_consecutive(relation[order], return_counts=True)
    return list(zip(numbers.tolist(), order.split(counts.tolist()), strict=True))
