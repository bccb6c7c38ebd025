"""What C-KGAT is compared with: four untrained or closed-form rankings, and encoders without its parts.

popularity   training pairs of an item
item-knn     cosine of items over users, the K nearest of each item (Sarwar et al. 2001)
ease         the item-item regression with a zero diagonal in closed form (Steck 2019):
             P = (X'X + l I)^-1,  B = I - P diag(1 / diag P),  scores X B
content      cosine of a recipe's attributes to those of the user's recipes
bpr-mf       a table of vectors, ranked by inner product (Rendle et al. 2009): :class:`NoNeighbours`
lightgcn     averages over the graph of pairs (He et al. 2020): :class:`Averages`; with contrast it is SGL

All rankings are functions of a training matrix X, users x items.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix
from sklearn.preprocessing import normalize
from torch import Tensor, nn

from echobook.graphs.edges import Graph, spread
from echobook.papers.ckgat.material import World, as_matrix

Scores = Float[np.ndarray, "U I"]


def popularity(x: csr_matrix) -> Scores:
    """The same for everybody: how many users have an item."""
    count = np.asarray(x.sum(axis=0)).ravel()
    return np.tile(count, (x.shape[0], 1))


def item_knn(x: csr_matrix, *, neighbours: int) -> Scores:
    """Sum of the cosines between an item and the user's items, of each item's nearest only."""
    columns = normalize(x, axis=0)
    cosine = (columns.T @ columns).toarray()
    np.fill_diagonal(cosine, 0.0)
    if neighbours < len(cosine):
        edge = -np.partition(-cosine, neighbours - 1, axis=0)[neighbours - 1]
        cosine[cosine < edge] = 0.0
    return x @ cosine


def ease(x: csr_matrix, *, ridge: float) -> Scores:
    """EASE in closed form. Raises ValueError for a ridge that is not above zero."""
    return x @ ease_weights(x, ridge=ridge)


def ease_weights(x: csr_matrix, *, ridge: float) -> Float[np.ndarray, "I I"]:
    """B, with zero diagonal: what one item says about another."""
    if ridge <= 0:
        raise ValueError(f"ridge {ridge}: expected > 0")
    gram = (x.T @ x).toarray()
    gram[np.diag_indices_from(gram)] += ridge
    inverse = cho_solve(cho_factor(gram, overwrite_a=True), np.eye(len(gram)))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def content(world: World) -> Scores:
    """Cosine of each item's attributes to the sum of those of the user's items."""
    attribute = world.tail - world.items
    own = (world.head < world.items) & (attribute >= 0)
    has = as_matrix(world.head[own], attribute[own], world.items, max(1, world.entities - world.items))
    rare = np.log(world.items / np.maximum(1, np.asarray(has.sum(axis=0)).ravel()))
    weighted = normalize(has.multiply(rare).tocsr())
    return (normalize(world.seen @ weighted) @ weighted.T).toarray()


def weighted_pairs(world: World, values: tuple[float, ...]) -> csr_matrix:
    """Users x items with the value of each pair's strongest behaviour, instead of 1."""
    strongest = np.array([values[max(sequence, default=0)] for sequence in world.sequences])
    shape = (world.users, world.items)
    return csr_matrix((strongest[world.sequence], (world.user, world.item)), shape=shape)


class NoNeighbours(nn.Module):
    """Every node for itself."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph

    def weights(self, table: Float[Tensor, "N D"]) -> Float[Tensor, " E"]:
        """Zero everywhere."""
        return torch.zeros(len(self.graph.head))

    def dropped(self, weights: Float[Tensor, " E"], kept: Bool[Tensor, " E"]) -> Float[Tensor, " E"]:
        """As before."""
        return weights

    def forward(self, x: Float[Tensor, "N D"], weights: Float[Tensor, " E"]) -> Float[Tensor, "N M"]:
        """The vectors as they are."""
        return x


class Averages(nn.Module):
    """LightGCN: layers of normalised sums over neighbours, and the mean of all layers."""

    def __init__(self, graph: Graph, layers: int) -> None:
        super().__init__()
        self.graph, self.layers = graph, layers

    def weights(self, table: Float[Tensor, "N D"]) -> Float[Tensor, " E"]:
        """One on every edge; the degrees come in later."""
        return torch.ones(len(self.graph.head))

    def dropped(self, weights: Float[Tensor, " E"], kept: Bool[Tensor, " E"]) -> Float[Tensor, " E"]:
        """Without the edges that are gone."""
        return weights * kept

    def forward(self, x: Float[Tensor, "N D"], weights: Float[Tensor, " E"]) -> Float[Tensor, "N M"]:
        """Mean over the table and all layers; an edge counts 1 / sqrt(degree degree)."""
        degree = torch.zeros(self.graph.nodes).index_add(0, self.graph.head, weights)
        root = degree.clamp(min=1e-12).rsqrt() * (degree > 0)
        values, found = weights * root[self.graph.head] * root[self.graph.tail], [x]
        for _ in range(self.layers):
            found.append(spread(values, found[-1], self.graph))
        return torch.stack(found).mean(dim=0)
