"""What training reads: pairs, facts about items, texts, requests; and what a test asks.

Numbers: users 0..U-1, items 0..I-1; in facts the entities are 0..I-1 for the items themselves and I.. for
everything else. In the collaborative graph users come first, then items, then the other entities. Letters:
U users, I items, P training pairs, F facts, W words that can be asked for, Q queries.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float32, Int
from scipy.sparse import csr_matrix

from echobook.data.types import DatasetUse

LONGEST = 6  # behaviours of a sequence that are kept, the latest


@dataclass(frozen=True)
class Requests:
    """Words to ask for, and who asked.

    Attributes:
        words: the words; vectors: of the request as a sentence; matches: which items answer a word.
        of_pair: word of each training pair, -1 for none.
        asked: split -> (user, word, target) of each query; the target answers the word.
    """

    words: tuple[str, ...]
    vectors: Float32[np.ndarray, "W V"]
    matches: Bool[np.ndarray, "W I"]
    of_pair: Int[np.ndarray, " P"]
    asked: Mapping[str, Int[np.ndarray, "Q 3"]]


@dataclass(frozen=True)
class World:
    """Pairs to learn from, facts, and pairs to find.

    Attributes:
        user, item: of each training pair, each pair once.
        sequence: of each pair, its place in ``sequences``.
        sequences: distinct sequences of behaviours, oldest first; one empty sequence where there are none.
        behaviours: names of behaviours.
        head, relation, tail, relations, entities: facts about items.
        wanted: split -> users x items, the pairs to find; none of them is in training.
        texts: vectors of the items' names, or None.
        uses: data sets, for the results file.

    Raises:
        ValueError: a training pair that is to be found (user and item named), or a number out of range.
    """

    name: str
    users: int
    items: int
    user: Int[np.ndarray, " P"]
    item: Int[np.ndarray, " P"]
    head: Int[np.ndarray, " F"]
    relation: Int[np.ndarray, " F"]
    tail: Int[np.ndarray, " F"]
    relations: tuple[str, ...]
    entities: int
    wanted: Mapping[str, csr_matrix]
    uses: tuple[DatasetUse, ...]
    behaviours: tuple[str, ...] = ()
    sequence: Int[np.ndarray, " P"] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    sequences: tuple[tuple[int, ...], ...] = ((),)
    texts: Float32[np.ndarray, "I V"] | None = None
    names: tuple[str, ...] = ()
    requests: Requests | None = None

    def __post_init__(self) -> None:
        if not len(self.sequence):
            object.__setattr__(self, "sequence", np.zeros(len(self.user), dtype=np.int64))
        for what, found, limit in (
            ("user", self.user, self.users), ("item", self.item, self.items),
            ("head", self.head, self.entities), ("tail", self.tail, self.entities),
        ):  # fmt: skip
            if len(found) and not 0 <= found.min() <= found.max() < limit:
                raise ValueError(
                    f"world {self.name}: {what}s {found.min()} to {found.max()}, expected below {limit}"
                )
        for split, wanted in self.wanted.items():
            both = self.seen.multiply(wanted).tocoo()
            if both.nnz:
                raise ValueError(
                    f"world {self.name}: user {both.row[0]}, item {both.col[0]} is in training and in {split}"
                )

    @property
    def seen(self) -> csr_matrix:
        """Users x items, 1 where the pair is in training."""
        return as_matrix(self.user, self.item, self.users, self.items)

    @property
    def popularity(self) -> Int[np.ndarray, " I"]:
        """Training pairs of each item."""
        return np.bincount(self.item, minlength=self.items)


def as_matrix(user: Int[np.ndarray, " P"], item: Int[np.ndarray, " P"], users: int, items: int) -> csr_matrix:
    """Users x items with 1 at each pair."""
    matrix = csr_matrix((np.ones(len(user)), (user, item)), shape=(users, items))
    matrix.data[:] = 1.0
    return matrix


def split_pairs(
    user: Int[np.ndarray, " P"], *, seed: int, test: float = 0.2, validation: float = 0.1
) -> np.ndarray:
    """train, validation or test for each pair, at random within each user; a user keeps pairs in all three.

    A user's test part is at least one pair, and the validation part too where the user has five or more.
    """
    rng = np.random.default_rng((seed, 41))
    order = np.lexsort((rng.random(len(user)), user))
    counts = np.bincount(user)
    rank = np.empty(len(user), dtype=np.int64)
    rank[order] = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
    size = counts[user]
    tests = np.maximum(1, np.round(test * size))
    valids = np.where(size >= 5, np.maximum(1, np.round(validation * size)), 0)
    return np.where(rank < tests, "test", np.where(rank < tests + valids, "validation", "train"))


def with_random_pairs(world: World, share: float, *, seed: int) -> World:
    """The world with ``share`` of its training pairs added once more as random ones, training only.

    The random pairs are new, and none is one that is to be found: what is tested stays the same.
    """
    rng = np.random.default_rng((seed, 42))
    taken = world.seen.toarray() > 0
    for wanted in world.wanted.values():
        taken |= wanted.toarray() > 0
    free = np.argwhere(~taken)
    extra = free[rng.choice(len(free), round(share * len(world.user)), replace=False)]
    requests = world.requests and replace(
        world.requests, of_pair=np.concatenate([world.requests.of_pair, np.full(len(extra), -1)])
    )
    return replace(
        world,
        user=np.concatenate([world.user, extra[:, 0]]),
        item=np.concatenate([world.item, extra[:, 1]]),
        sequence=np.concatenate([world.sequence, rng.choice(world.sequence, len(extra))]),
        requests=requests,
    )


def with_shuffled_facts(world: World, *, seed: int) -> World:
    """The control: every item gets the facts of another one, so that the graph keeps its shape only."""
    rng = np.random.default_rng((seed, 43))
    other = np.concatenate([rng.permutation(world.items), np.arange(world.items, world.entities)])
    return replace(world, head=other[world.head], tail=other[world.tail])


def with_shuffled_behaviours(world: World, *, seed: int) -> World:
    """The control: the sequences of behaviours are dealt to other pairs."""
    return replace(world, sequence=np.random.default_rng((seed, 44)).permutation(world.sequence))


def without_behaviours(world: World) -> World:
    """All pairs alike."""
    return replace(world, behaviours=(), sequence=np.zeros(len(world.user), dtype=np.int64), sequences=((),))


def without_facts(world: World) -> World:
    """Pairs only."""
    none = np.zeros(0, dtype=np.int64)
    return replace(world, head=none, relation=none, tail=none, relations=(), entities=world.items)


def without_texts(world: World) -> World:
    """No vectors of names."""
    return replace(world, texts=None)
