"""C-KGAT, top to bottom: one graph of pairs and facts, attention, bi-interaction, two views and a contrast.

The graph holds users, items and attributes. Its edges are the training pairs, typed by their strongest
behaviour, and the facts, each with its inverse. A recommender is composed of parts:

    encoder   vectors of all nodes from the table of vectors: nothing, averages, or bi-interaction layers
    knowledge translations of the facts, trained in turn with the ranking (TransR)
    strength  how much a pair's sequence of behaviours counts on its edge
    text      the name of an item added to its vector
    contrast  two views of the graph with dropped edges or nodes, in which a node shall be recognised

Axes: N nodes, E edges, D size of a vector, S distinct sequences, B batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor, nn
from torch.nn import functional

from echobook.graphs.attention import renormalise
from echobook.graphs.edges import Graph, build_graph, keep_facts, spread
from echobook.graphs.sampling import info_nce
from echobook.papers.ckgat.knowledge import Translations
from echobook.papers.ckgat.material import World

Keep = Callable[[Graph, float, np.random.Generator], Bool[Tensor, " E"]]


@dataclass(frozen=True)
class Collaborative:
    """The graph of a world.

    Attributes:
        graph: users, then items, then other entities.
        users, items: how many.
        sequence: of each edge that is a pair, -1 on facts.
    """

    graph: Graph
    users: int
    items: int
    sequence: Int[Tensor, " E"]


def collaborative_graph(world: World) -> Collaborative:
    """Pairs and facts of a world as one graph; a pair's relation is its strongest behaviour."""
    kinds = max(1, len(world.behaviours))
    strongest = np.array([max(sequence, default=0) for sequence in world.sequences])
    graph = build_graph(
        np.concatenate([world.user, world.users + world.head]),
        np.concatenate([strongest[world.sequence], kinds + world.relation]),
        np.concatenate([world.users + world.item, world.users + world.tail]),
        nodes=world.users + world.entities,
        kinds=kinds + len(world.relations),
    )
    of_fact = torch.full((graph.facts,), -1)
    of_fact[: len(world.user)] = torch.from_numpy(world.sequence)
    return Collaborative(graph, world.users, world.items, of_fact[graph.fact])


@runtime_checkable
class Encoder(Protocol):
    """What turns the table of vectors into vectors that know their neighbours."""

    def weights(self, table: Float[Tensor, "N D"]) -> Float[Tensor, " E"]:
        """Weight of each edge, computed once an epoch, outside the gradient."""

    def dropped(self, weights: Float[Tensor, " E"], kept: Bool[Tensor, " E"]) -> Float[Tensor, " E"]:
        """The weights when some edges are gone."""

    def __call__(self, x: Float[Tensor, "N D"], weights: Float[Tensor, " E"]) -> Float[Tensor, "N M"]:
        """Vectors of all nodes."""


class BiInteraction(nn.Module):
    """KGAT's layers: the neighbours are weighed by attention, added to a node and multiplied with it.

    A layer's output is normalised where it is concatenated, not where it is passed on.

    Args:
        graph: whose edges carry the messages.
        knowledge: gives the attention.
        sizes: of the table and of each layer's output.
        dropout: of messages, while training.
    """

    def __init__(
        self, graph: Graph, knowledge: Translations, sizes: tuple[int, ...], dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.graph, self.knowledge, self.dropout = graph, knowledge, dropout
        pairs = list(pairwise(sizes))
        self.sums = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
        self.products = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)

    def weights(self, table: Float[Tensor, "N D"]) -> Float[Tensor, " E"]:
        """Attention over all edges of a head."""
        return self.knowledge.attention(table)

    def dropped(self, weights: Float[Tensor, " E"], kept: Bool[Tensor, " E"]) -> Float[Tensor, " E"]:
        """The attention of the edges that are left."""
        return renormalise(weights, self.graph.head, kept, nodes=self.graph.nodes)

    def forward(
        self,
        x: Float[Tensor, "N D"],
        weights: Float[Tensor, " E"],
    ) -> Float[Tensor, "N M"]:
        """The table's vector and every layer's, side by side."""
        found = [x]
        for add, multiply in zip(self.sums, self.products, strict=True):
            near = spread(weights, x, self.graph)  # (N, D)
            added, multiplied = add(x + near), multiply(x * near)
            x = functional.leaky_relu(added) + functional.leaky_relu(multiplied)
            x = functional.dropout(x, self.dropout, self.training)
            found.append(functional.normalize(x, dim=1))
        return torch.cat(found, dim=1)


class SequenceStrength(nn.Module):
    """Strength of a pair from its sequence of behaviours: a recurrent network corrects a given start.

    The start is the strength of the strongest behaviour; the correction is zero before training.

    Args:
        sequences: distinct sequences, of numbers below ``len(values)``.
        values: strength of each behaviour alone, between 0 and 1.
        size: of the network's state.
    """

    def __init__(
        self, sequences: tuple[tuple[int, ...], ...], values: tuple[float, ...], size: int = 8
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(values), size)
        self.network = nn.GRU(size, size, batch_first=True)
        self.out = nn.Linear(size, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.start = torch.logit(torch.tensor([values[max(s)] for s in sequences]), eps=0.05)
        longest = max(map(len, sequences))
        self.padded = torch.tensor([list(s[::-1]) + [0] * (longest - len(s)) for s in sequences])
        self.last = torch.tensor([len(s) - 1 for s in sequences])

    def forward(self) -> Float[Tensor, " S"]:
        """Strength of every distinct sequence; the latest behaviour is read first."""
        states = self.network(self.embedding(self.padded))[0]  # (S, L, H)
        state = states[torch.arange(len(states)), self.last]
        return torch.sigmoid(self.start + self.out(state).squeeze(1))


class ScalarStrength(nn.Module):
    """Strength by the strongest behaviour alone, given and not learnt: the simpler ablation."""

    def __init__(self, sequences: tuple[tuple[int, ...], ...], values: tuple[float, ...]) -> None:
        super().__init__()
        self.values = torch.tensor([values[max(sequence)] for sequence in sequences])

    def forward(self) -> Float[Tensor, " S"]:
        """Strength of every distinct sequence."""
        return self.values


class NameText(nn.Module):
    """The vector of an item's name, projected and added to the item's own."""

    def __init__(self, vectors: Float32[np.ndarray, "I V"], size: int) -> None:
        super().__init__()
        self.vectors = torch.from_numpy(vectors)
        self.project = nn.Linear(vectors.shape[1], size, bias=False)

    def forward(self) -> Float[Tensor, "I D"]:
        """What is added to each item."""
        return self.project(self.vectors)


@dataclass(frozen=True)
class Contrast:
    """Two views of the graph, and how much recognising a node across them counts.

    Attributes:
        keep: how a view is made, by each view in turn: :func:`keep_facts` or :func:`keep_nodes`.
        rate: probability of dropping.
        temperature, weight: of the loss.
    """

    keep: tuple[Keep, Keep] = (keep_facts, keep_facts)
    rate: float = 0.1
    temperature: float = 0.2
    weight: float = 0.1

    def views(self, graph: Graph, rng: np.random.Generator) -> list[Bool[Tensor, " E"]]:
        """Which edges each of the two views keeps."""
        return [keep(graph, self.rate, rng) for keep in self.keep]

    def loss(
        self,
        one: Float[Tensor, "N M"],
        other: Float[Tensor, "N M"],
        rows: tuple[Int[Tensor, " _"], Int[Tensor, " _"]],
    ) -> Float[Tensor, ""]:
        """Users among the users of the batch, items among its items: two tasks."""
        total = torch.zeros(())
        for row in rows:
            if len(row) > 1:
                total = total + info_nce(one[row], other[row], temperature=self.temperature)
        return self.weight * total


class Recommender(nn.Module):
    """Parts put together. ``refresh`` begins an epoch, ``embed`` gives all vectors, ``score`` ranks.

    Args:
        graph: of the world.
        encoder: see :class:`Encoder`.
        size: of the table's vectors.
        knowledge, strength, text, contrast: parts, or None.
    """

    def __init__(
        self,
        graph: Collaborative,
        encoder: nn.Module,
        *,
        size: int,
        knowledge: Translations | None = None,
        strength: nn.Module | None = None,
        text: NameText | None = None,
        contrast: Contrast | None = None,
    ) -> None:
        super().__init__()
        self.collaborative, self.graph, self.encoder = graph, graph.graph, encoder
        self.table = nn.Parameter(nn.init.xavier_uniform_(torch.empty(graph.graph.nodes, size)))
        self.knowledge, self.strength, self.text, self.contrast = knowledge, strength, text, contrast
        self.edge_weights: list[Tensor] = []

    def refresh(self, rng: np.random.Generator) -> None:
        """Attention and views of the next epoch, outside the gradient."""
        with torch.no_grad():
            whole = self.encoder.weights(self.table)  # type: ignore[operator]
            kept = self.contrast.views(self.graph, rng) if self.contrast else []
            views = [self.encoder.dropped(whole, mask) for mask in kept]  # type: ignore[operator]
            self.edge_weights = [whole, *views]

    def strengths(self) -> Float[Tensor, " S"] | None:
        """Strength of each distinct sequence over the mean of all training pairs, or None without that part.

        Only how strengths compare can be learnt: if all could grow, they would, to remember the pairs.
        """
        if self.strength is None:
            return None
        found = self.strength()
        return found / found[self.collaborative.sequence[self.collaborative.sequence >= 0]].mean()

    def start(self) -> Float[Tensor, "N D"]:
        """Vectors that go into the encoder: the table's, with the texts of items added."""
        if self.text is None:
            return self.table
        users, items = self.collaborative.users, self.collaborative.items
        around = (0, 0, users, self.graph.nodes - users - items)
        return self.table + functional.pad(self.text(), around)

    def embed(self, view: int = 0) -> Float[Tensor, "N M"]:
        """Vectors of all nodes over the whole graph (0) or over one of the two views (1, 2).

        The strengths learn from the ranking alone: in the views they are given.
        """
        weights, strengths = self.edge_weights[view], self.strengths()
        if strengths is not None:
            strengths = strengths if view == 0 else strengths.detach()
            sequence = self.collaborative.sequence
            factor = torch.cat([strengths, torch.ones(1)])  # the last place, -1: facts
            weights = weights * factor.index_select(0, sequence % len(factor))
        return self.encoder(self.start(), weights)

    def split(self, nodes: Float[Tensor, "N M"]) -> tuple[Float[Tensor, "U M"], Float[Tensor, "I M"]]:
        """Vectors of the users and of the items."""
        users, items = self.collaborative.users, self.collaborative.items
        return nodes[:users], nodes[users : users + items]
