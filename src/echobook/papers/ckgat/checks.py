"""What our own code must do, as one figure each: a distance that has to be (nearly) zero.

Each check runs the code against something that needs no trust in it: a loop over single edges, a sort of
every user's items, one regression an item.
"""

import math

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch.nn import functional

from echobook.graphs.edges import Graph, build_graph, keep_facts
from echobook.graphs.full_ranking import rank_all
from echobook.papers.ckgat.baselines import ease_weights
from echobook.papers.ckgat.knowledge import Translations
from echobook.papers.ckgat.material import World
from echobook.papers.ckgat.model import BiInteraction, collaborative_graph


def small_graph(seed: int, *, nodes: int = 12, facts: int = 25, kinds: int = 3) -> Graph:
    """Random facts among a few nodes; pairs with two relations and nodes alone occur."""
    rng = np.random.default_rng((seed, 61))
    heads, tails = rng.integers(0, nodes - 1, (2, facts))
    return build_graph(heads, rng.integers(0, kinds, facts), tails, nodes=nodes, kinds=kinds)


def attention(seed: int) -> float:
    """Largest gap between the kernel's attention and that of a loop over single edges."""
    graph = small_graph(seed)
    torch.manual_seed(seed)
    knowledge, table = Translations(graph, 4), torch.randn(graph.nodes, 4)
    with torch.no_grad():
        slow = _slow_attention(knowledge, table)
    return float((knowledge.attention(table) - slow).abs().max())


def _slow_attention(knowledge: Translations, table: torch.Tensor) -> torch.Tensor:
    graph, scores = knowledge.graph, []
    for h, r, t in zip(graph.head.tolist(), graph.relation.tolist(), graph.tail.tolist(), strict=True):
        w = knowledge.projections[r]
        scores.append(math.exp(float((table[t] @ w) @ torch.tanh(table[h] @ w + knowledge.vectors[r]))))
    total = [0.0] * graph.nodes
    for h, score in zip(graph.head.tolist(), scores, strict=True):
        total[h] += score
    return torch.tensor([score / total[h] for h, score in zip(graph.head.tolist(), scores, strict=True)])


@torch.no_grad()
def layer(seed: int) -> float:
    """Largest gap between a bi-interaction layer and the same, one node and one edge at a time."""
    graph = small_graph(seed)
    torch.manual_seed(seed)
    encoder = BiInteraction(graph, Translations(graph, 4), (4, 3)).eval()
    x = torch.randn(graph.nodes, 4)
    weights, fast = encoder.weights(x), encoder(x, encoder.weights(x))
    rows = []
    for node in range(graph.nodes):
        near = torch.zeros(4)
        for edge in (graph.head == node).nonzero().ravel().tolist():
            near += weights[edge] * x[graph.tail[edge]]
        out = functional.leaky_relu(encoder.sums[0](x[node] + near))
        out = out + functional.leaky_relu(encoder.products[0](x[node] * near))
        rows.append(torch.cat([x[node], out / out.norm()]))
    return float((fast - torch.stack(rows)).abs().max())


def ranking(seed: int) -> float:
    """Largest gap of a user's Recall@5 or NDCG@5 between blocks of matrices and a sort of the items."""
    rng = np.random.default_rng((seed, 62))
    scores, kind = rng.integers(0, 8, (30, 25)).astype(float), rng.random((30, 25))
    seen, wanted = kind < 0.2, kind > 0.8
    wanted[:, 0] |= ~seen[:, 0]
    found = rank_all(
        lambda users: scores[users], seen=csr_matrix(seen), relevant=csr_matrix(wanted), k=5, block=7
    )
    gap = 0.0
    for user, recall, ndcg in zip(found.user.tolist(), found.recall, found.ndcg, strict=True):
        left = sorted((i for i in range(25) if not seen[user, i]), key=lambda i: (-scores[user, i], i))[:5]
        hits = [bool(wanted[user, i]) for i in left]
        gains = [1 / math.log2(rank + 2) for rank in range(5)]
        ideal = sum(gains[: int(wanted[user].sum())])
        slow = sum(gain for gain, hit in zip(gains, hits, strict=True) if hit) / ideal
        gap = max(gap, abs(recall - sum(hits) / wanted[user].sum()), abs(ndcg - slow))
    return float(gap)


def closed_form(seed: int) -> float:
    """Largest gap between EASE's weights and one ridge regression an item, on all others."""
    x = (np.random.default_rng((seed, 63)).random((40, 9)) < 0.3).astype(float)
    fast, gap = ease_weights(csr_matrix(x), ridge=2.0), 0.0
    for item in range(9):
        others = [i for i in range(9) if i != item]
        gram = x[:, others].T @ x[:, others] + 2.0 * np.eye(8)
        slow = np.linalg.solve(gram, x[:, others].T @ x[:, item])
        gap = max(gap, float(np.abs(fast[others, item] - slow).max()))
    return gap


def leak(world: World) -> int:
    """Edges of the graph that are a pair to be found."""
    graph = collaborative_graph(world).graph
    matrix = csr_matrix(
        (np.ones(len(graph.head)), (graph.head.numpy(), graph.tail.numpy())), shape=(graph.nodes, graph.nodes)
    )
    between = matrix[: world.users, world.users : world.users + world.items]
    return int(sum(between.multiply(wanted).nnz for wanted in world.wanted.values()))


def torn(seed: int) -> int:
    """Facts of which edge dropout keeps one direction only."""
    graph = small_graph(seed, facts=200)
    kept = keep_facts(graph, 0.3, np.random.default_rng((seed, 64)))
    return int((kept != kept[graph.inverse]).sum())
