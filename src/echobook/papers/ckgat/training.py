"""Training: ranking batches, then batches of facts, then the attention anew; the best epoch is kept.

Every model is judged on the validation pairs every few epochs, before the first one too, and the vectors
of the earliest best look are what is tested.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from scipy.sparse import csr_matrix
from torch import Tensor

from echobook.graphs.full_ranking import rank_all
from echobook.graphs.sampling import bpr_loss, sample_negatives
from echobook.papers.ckgat.material import World
from echobook.papers.ckgat.model import Recommender


@dataclass(frozen=True)
class Budget:
    """How long and how.

    Attributes:
        epochs: at most; every: epochs between two looks at the validation pairs.
        patience: looks without a better one after which training ends.
        batch: pairs of a ranking batch; fact_batch: edges of a batch of facts, one for each ranking batch.
        rate: Adam's; decay: weight of the squared vectors of the batch.
        from_request: share of the negatives drawn among the answers to the pair's request.
    """

    epochs: int = 100
    every: int = 5
    patience: int = 4
    batch: int = 2048
    fact_batch: int = 2048
    rate: float = 0.01
    decay: float = 1e-3
    from_request: float = 0.0


@dataclass(frozen=True)
class Fit:
    """A trained recommender.

    Attributes:
        users, items: vectors at the best look.
        epoch, curve: of each look, its validation NDCG@20.
        strengths: of each sequence of behaviours at the end, if learnt.
    """

    users: Float32[np.ndarray, "U M"]
    items: Float32[np.ndarray, "I M"]
    epoch: Int[np.ndarray, " L"]
    curve: Float[np.ndarray, " L"]
    strengths: Float32[np.ndarray, " S"] | None = None

    def score(self, users: Int[np.ndarray, " B"]) -> Float[np.ndarray, "B I"]:
        """Scores of all items for some users."""
        return (self.users[users] @ self.items.T).astype(np.float64)

    @property
    def best(self) -> float:
        """Validation NDCG@20 of the vectors that are kept."""
        return float(self.curve.max())

    @property
    def settled(self) -> bool:
        """Whether the last look was not the best one: the curve had stopped rising."""
        return bool(self.curve[-1] < self.curve.max())


def train(model: Recommender, world: World, budget: Budget, *, seed: int) -> Fit:
    """Train a model, and keep the vectors of its best look."""
    torch.manual_seed(seed)
    rng, seen = np.random.default_rng((seed, 51)), world.seen
    optimiser = torch.optim.Adam(model.parameters(), lr=budget.rate)
    looks: list[tuple[int, float]] = []
    best: tuple[Tensor, Tensor] | None = None
    for epoch in range(budget.epochs + 1):
        model.refresh(rng)
        if epoch % budget.every == 0 or epoch == budget.epochs:
            vectors, ndcg = _look(model, world, seen)
            if best is None or ndcg > max(value for _, value in looks):
                best = vectors
            looks.append((epoch, ndcg))
            if len(looks) - 1 - int(np.argmax([value for _, value in looks])) >= budget.patience:
                break
        if epoch < budget.epochs:
            _epoch(model, world, seen, budget, optimiser, rng)
    assert best is not None
    strengths = model.strengths()
    return Fit(
        best[0].numpy(),
        best[1].numpy(),
        np.array([epoch for epoch, _ in looks]),
        np.array([value for _, value in looks]),
        None if strengths is None else strengths.detach().numpy(),
    )


@torch.no_grad()
def _look(model: Recommender, world: World, seen: csr_matrix) -> tuple[tuple[Tensor, Tensor], float]:
    model.eval()
    users, items = (part.clone() for part in model.split(model.embed()))
    model.train()
    table = (users @ items.T).numpy()
    found = rank_all(lambda u: table[u], seen=seen, relevant=world.wanted["validation"])
    return (users, items), float(found.ndcg.mean())


def _epoch(
    model: Recommender,
    world: World,
    seen: csr_matrix,
    budget: Budget,
    optimiser: torch.optim.Optimizer,
    rng: np.random.Generator,
) -> None:
    order = rng.permutation(len(world.user))
    batches = np.array_split(order, max(1, round(len(order) / budget.batch)))
    for pairs in batches:
        _step(ranking_loss(model, world, seen, pairs, budget, rng), optimiser)
    if model.knowledge is not None:
        for _ in batches:
            _step(model.knowledge.loss(model.start(), rng, batch=budget.fact_batch), optimiser)


def _step(loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def ranking_loss(
    model: Recommender,
    world: World,
    seen: csr_matrix,
    pairs: Int[np.ndarray, " B"],
    budget: Budget,
    rng: np.random.Generator,
) -> Float[Tensor, ""]:
    """Ranking loss of a batch of training pairs, with the contrast and the decay."""
    user, item = world.user[pairs], world.item[pairs]
    pool = request_pool(world, pairs, budget.from_request, rng)
    other, found = sample_negatives(user, seen, rng, pool=pool)
    users, items = model.split(model.embed())
    u, i, j = users[user], items[item], items[other]
    weight = torch.from_numpy(found.astype(np.float32)) * _pair_weights(model, world, pairs)
    loss = bpr_loss((u * i).sum(dim=1), (u * j).sum(dim=1), weight)
    own_users, own_items = model.split(model.start())
    drawn = (own_users[user], own_items[item], own_items[other])
    loss = loss + budget.decay * sum(part.square().sum() for part in drawn) / (2 * len(pairs))
    if model.contrast is None:
        return loss
    rows = (torch.from_numpy(np.unique(user)), torch.from_numpy(world.users + np.unique(item)))
    return loss + model.contrast.loss(model.embed(1), model.embed(2), rows)


def _pair_weights(model: Recommender, world: World, pairs: Int[np.ndarray, " B"]) -> Float[Tensor, " B"]:
    """Strength of each pair, without gradient, or one: it weighs a pair and must not learn to shrink it."""
    strengths = model.strengths()
    if strengths is None:
        return torch.ones(len(pairs))
    return strengths.detach()[torch.from_numpy(world.sequence[pairs])]


def request_pool(
    world: World, pairs: Int[np.ndarray, " B"], share: float, rng: np.random.Generator
) -> Int[np.ndarray, "B W"] | None:
    """For a share of the pairs the answers to their request, to draw negatives from; -1 pads."""
    if world.requests is None or share == 0:
        return None
    word = world.requests.of_pair[pairs]
    word = np.where(rng.random(len(pairs)) < share, word, -1)
    answers = world.requests.matches[word] & (word >= 0)[:, None]  # (B, I)
    pool = np.full((len(pairs), int(answers.sum(axis=1).max(initial=1)) or 1), -1, dtype=np.int64)
    row, item = np.nonzero(answers)
    first = np.cumsum(answers.sum(axis=1)) - answers.sum(axis=1)
    pool[row, np.arange(len(row)) - first[row]] = item
    return pool
