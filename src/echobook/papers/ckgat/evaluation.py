"""Two questions to a ranking: all items for a user, and the answers to a request for a user.

All items: Recall@20 and NDCG@20 of each user (:mod:`echobook.graphs.full_ranking`). A request: only recipes
that match the word are ranked, those that the user has in training left out; the one that was chosen has a
rank r among them, and counts 1 for HR@5 if r <= 5, 1 / log2(r + 1) for NDCG@10 if r <= 10, and 1 / r for
MRR. Letters: Q queries, I items, U users.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix

from echobook.graphs.full_ranking import FullRanking, rank_all
from echobook.papers.ckgat.material import Requests, World

Score = Callable[[Int[np.ndarray, " B"]], Float[np.ndarray, "B I"]]
MIXES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)  # share of the personal score, chosen on validation requests
RARE = 10  # training pairs below which an item is rare


def of_table(scores: Float[np.ndarray, "U I"]) -> Score:
    """A table of scores as a function of users."""
    return lambda users: scores[users]


def judge(score: Score, world: World, *, split: str = "test") -> FullRanking:
    """Recall@20 and NDCG@20 of every user with something to find."""
    return rank_all(score, seen=world.seen, relevant=world.wanted[split])


def judge_rare(score: Score, world: World, *, rare: bool, split: str = "test") -> FullRanking:
    """The same with only rare items to be found (fewer than ten training pairs), or only the others.

    All items stay in the ranking.
    """
    chosen = (world.popularity < RARE) == rare
    wanted = csr_matrix(world.wanted[split].multiply(chosen[None, :].astype(np.float64)))
    wanted.eliminate_zeros()
    return rank_all(score, seen=world.seen, relevant=wanted)


@dataclass(frozen=True)
class Answers:
    """One entry a query: rank of the chosen recipe (from 1), number of candidates, user."""

    rank: Int[np.ndarray, " Q"]
    candidates: Int[np.ndarray, " Q"]
    user: Int[np.ndarray, " Q"]

    @property
    def hit5(self) -> Float[np.ndarray, " Q"]:
        """1 where the rank is at most 5."""
        return (self.rank <= 5).astype(np.float64)

    @property
    def ndcg10(self) -> Float[np.ndarray, " Q"]:
        """1 / log2(rank + 1) where the rank is at most 10."""
        return np.where(self.rank <= 10, 1 / np.log2(self.rank + 1), 0.0)

    @property
    def reciprocal(self) -> Float[np.ndarray, " Q"]:
        """1 / rank."""
        return 1 / self.rank


def answer(score: Score, world: World, *, mix: float = 1.0, split: str = "test") -> Answers:
    """Rank the candidates of each request by ``mix`` of the personal score and the rest text similarity.

    Both are standardised among the candidates of the query. Equal scores share the mean of their ranks'
    upper half: a tie counts against the target, so that a constant score gains nothing.

    Raises ValueError for a world without requests.
    """
    if world.requests is None:
        raise ValueError(f"world {world.name}: no requests to answer")
    queries = world.requests.asked[split]
    user, word, target = queries.T
    open_ = candidates(world.requests, world.seen, user, word)
    rows = np.arange(len(queries))
    total = mix * _standardised(score(user), open_)
    if mix < 1 and world.texts is not None:
        total = total + (1 - mix) * _standardised(world.requests.vectors[word] @ world.texts.T, open_)
    above = (total >= total[rows, target][:, None]) & open_
    return Answers(above.sum(axis=1), open_.sum(axis=1), user)


def candidates(
    requests: Requests, seen: csr_matrix, user: Int[np.ndarray, " Q"], word: Int[np.ndarray, " Q"]
) -> Bool[np.ndarray, "Q I"]:
    """Recipes that match each query's word and that its user has not in training."""
    return requests.matches[word] & ~(seen[user].toarray() > 0)


def _standardised(scores: np.ndarray, open_: np.ndarray) -> Float[np.ndarray, "Q I"]:
    """Mean 0 and deviation 1 among the candidates of each query; 0 where all are equal."""
    count = open_.sum(axis=1, keepdims=True)
    mean = np.where(open_, scores, 0).sum(axis=1, keepdims=True) / count
    apart = np.where(open_, scores - mean, 0.0)
    deviation = np.sqrt((apart**2).sum(axis=1, keepdims=True) / count)
    return np.asarray(apart / np.where(deviation > 1e-12, deviation, 1.0), dtype=np.float64)


def best_mix(score: Score, world: World) -> float:
    """The mix with the highest NDCG@10 on validation requests; of equal ones the more personal."""
    found = {mix: float(answer(score, world, mix=mix, split="validation").ndcg10.mean()) for mix in MIXES}
    return max(MIXES, key=lambda mix: (found[mix], mix))
