"""From data sets to users' histories: padded sequences with targets and splits.

    hackernews   real users; training, dev and test targets lie one after the other in time *over all users*
    reddit       simulated users who say real titles; users and titles of the splits are disjoint
    topics       the same with generated texts: no download

Every interaction belongs to a history; whether it is a target, and of which split, is a mask. Axes: B users,
S interactions (padded), D features, C classes.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float32, Int
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize
from torch import Tensor

from echobook.data.fetch import fetch
from echobook.data.generators.histories import HistoryWorld, simulate_histories
from echobook.data.generators.topics import WORDS, generate_topics
from echobook.data.hackernews import load_posts
from echobook.data.reddit import load_titles
from echobook.data.types import DatasetUse
from echobook.text.encoder import SentenceEncoder

SPLITS = ("train", "dev", "test")
TRAIN, DEV = 0.64, 0.16  # shares of the posts, in order of time
POOLS = {"train": (0.0, 0.6), "dev": (0.6, 0.7), "test": (0.7, 1.0)}  # of each class's titles, by time


@dataclass(frozen=True)
class Pool:
    """Labelled texts in order of time: text, label, split, and user where there are real ones.

    Attributes:
        frame: rows.
        vectors, labels: of each row; classes are the sorted labels.
        use: for the results file.
        classes: C; label C is one without a name.
    """

    frame: pd.DataFrame
    vectors: Float32[np.ndarray, "N D"]
    labels: Int[np.ndarray, " N"]
    use: DatasetUse
    classes: int


@dataclass(frozen=True)
class Users:
    """Histories of one world.

    Attributes:
        vectors: features of the pool's rows.
        row: row of the pool of each interaction, padded behind with -1.
        y: labels; label C is a class without a name, and of padding.
        size: interactions of each user.
        split: 0, 1, 2 for a target of training, dev or test; -1 for no target (padding included).
        frozen_at: interactions of each user before the dev targets: what a profile learned once may know.
        classes: C.
    """

    vectors: Float32[Tensor, "N D"]
    row: Int[np.ndarray, "B S"]
    y: Int[Tensor, "B S"]
    size: Int[Tensor, " B"]
    split: Int[Tensor, "B S"]
    frozen_at: Int[Tensor, " B"]
    classes: int

    @property
    def features(self) -> int:
        """D."""
        return self.vectors.shape[1]

    def x(self, users: Int[Tensor, " b"], size: int) -> Float32[Tensor, "b s D"]:
        """Features of the first ``size`` interactions of some users; zeros for padding."""
        row = torch.from_numpy(self.row)[users, :size]
        return self.vectors[row.clamp(min=0)] * (row >= 0)[..., None]

    def targets(self, split: str) -> Bool[Tensor, "B S"]:
        """Where the targets of a split are."""
        return self.split == SPLITS.index(split)

    @property
    def before(self) -> Int[np.ndarray, "B S"]:
        """Interactions before each one."""
        return np.broadcast_to(np.arange(self.y.shape[1]), tuple(self.y.shape)).copy()


def named_pool(frame: pd.DataFrame, vectors: np.ndarray, use: DatasetUse) -> Pool:
    """A pool whose classes are the sorted labels."""
    names, labels = np.unique(frame["label"].to_numpy(dtype=str), return_inverse=True)
    return Pool(frame, vectors, labels.astype(np.int64), use, len(names))


def topic_pool(*, seed: int, classes: int = 12, blur: float = 0.5, texts: int = 250) -> Pool:
    """Generated texts as normalised word counts; each class has ``texts`` of them."""
    frame, use = generate_topics(seed=seed, intents=classes, train=texts - 1, test=1, blur=blur)
    counts = CountVectorizer(vocabulary=WORDS).fit_transform(frame["text"])
    vectors = normalize(counts).toarray().astype(np.float32)
    frame = frame.rename(columns={"intent": "label"}).assign(split=_pool_splits(frame["intent"]))
    return named_pool(frame, vectors, use)


def title_pool(encoder: SentenceEncoder) -> Pool:
    """Reddit's titles; the later ones of a community are for dev and test users."""
    titles = load_titles(fetch("reddit_top2013"))
    frame = titles.frame.assign(split=_pool_splits(titles.frame["label"]))
    vectors = encoder.encode(frame["text"].tolist())
    return named_pool(frame, vectors, titles.use)


def _pool_splits(labels: pd.Series) -> np.ndarray:
    """Split of each text by its place among the texts of its class."""
    share = labels.groupby(labels).cumcount() / labels.groupby(labels).transform("size")
    return np.where(share < POOLS["train"][1], "train", np.where(share < POOLS["dev"][1], "dev", "test"))


def post_pool(encoder: SentenceEncoder, *, sites: int = 20) -> Pool:
    """Hacker News titles in order of time; splits are cut at two moments, the same for all users.

    A dev or test title that was posted before, by anybody, is no target (split ``repeat``), but stays in
    histories.
    """
    posts = load_posts(fetch("hackernews"), sites=sites)
    place = np.arange(len(posts.frame)) / len(posts.frame)
    split = np.where(place < TRAIN, "train", np.where(place < TRAIN + DEV, "dev", "test"))
    again = posts.frame["text"].str.lower().duplicated().to_numpy()
    frame = posts.frame.assign(split=np.where(again & (split != "train"), "repeat", split))
    return named_pool(frame, encoder.encode(frame["text"].tolist()), posts.use)


def real_users(pool: Pool) -> Users:
    """One history for each value of ``user``, rows in the pool's order, which is time."""
    users = np.unique(pool.frame["user"].to_numpy(dtype=str), return_inverse=True)[1]
    order = np.argsort(users, kind="stable")
    rows = np.split(order, np.flatnonzero(np.diff(users[order])) + 1)
    code = pool.frame["split"].map({name: number for number, name in enumerate(SPLITS)}).fillna(-1)
    late = (pool.frame["split"] != "train").to_numpy()
    frozen = np.array([int((~late[own]).sum()) for own in rows])
    return padded_users(pool, rows, code.to_numpy(dtype=np.int64), frozen)


def padded_users(
    pool: Pool,
    rows: list[Int[np.ndarray, "_"]],
    split: Int[np.ndarray, " N"],
    frozen: Int[np.ndarray, " B"],
) -> Users:
    """Histories from rows of a pool; ``split`` is the code of each row."""
    longest = max(map(len, rows))
    table = np.full((len(rows), longest), -1, dtype=np.int64)
    for user, own in enumerate(rows):
        table[user, : len(own)] = own
    real = torch.from_numpy(table >= 0)
    place = torch.from_numpy(np.maximum(table, 0))
    y = torch.where(real, torch.from_numpy(pool.labels)[place], pool.classes)
    codes = torch.where(real, torch.from_numpy(split)[place], -1)
    size = torch.tensor([len(own) for own in rows])
    frozen_at, vectors = torch.from_numpy(frozen), torch.from_numpy(pool.vectors)
    return Users(vectors, table, y, size, codes, frozen_at, pool.classes)


@dataclass(frozen=True)
class Simulated:
    """Simulated users with the preferences that only an oracle knows."""

    users: Users
    theta: Float32[np.ndarray, "B S C"]


def simulated_users(
    pool: Pool, world: HistoryWorld, *, seed: int, train_users: int, test_users: int
) -> Simulated:
    """Users of the three splits, each saying texts of its own split; half as many dev users as test users.

    A profile that was learned once knows the first half of a user's interactions.
    """
    counts = {"train": train_users, "dev": max(2, test_users // 2), "test": test_users}
    rows, labels, theta, code = [], [], [], []
    for number, (split, users) in enumerate(counts.items()):
        own = np.flatnonzero(pool.frame["split"] == split)
        drawn = simulate_histories(pool.labels[own], replace(world, users=users), seed=1000 * seed + number)
        rows.append(own[drawn.rows])
        labels.append(drawn.labels)
        theta.append(drawn.theta)
        code.append(np.full(drawn.rows.shape, number))
    table, y = np.concatenate(rows), torch.from_numpy(np.concatenate(labels))
    users_in_all, steps = table.shape
    half = torch.full((users_in_all,), steps // 2)
    found = Users(
        torch.from_numpy(pool.vectors), table, y, torch.full((users_in_all,), steps),
        torch.from_numpy(np.concatenate(code)), half, pool.classes,
    )  # fmt: skip
    return Simulated(found, np.concatenate(theta).astype(np.float32))


def shuffled_users(users: Users, *, seed: int) -> tuple[Users, Int[np.ndarray, "B S"]]:
    """The control: every interaction is given to another user's place of the same split, and where it went.

    Sizes of histories, order in time and texts stay; that one person's interactions stand together is gone.
    ``origin[b, s]`` is the flat place in the original table of what now stands there (-1: padding). In a
    world where all users have equally many interactions, places are exchanged at the same step only.
    """
    rng = np.random.default_rng((seed, 41))
    real = users.row >= 0
    where = np.flatnonzero(real)
    step = np.broadcast_to(np.arange(real.shape[1]), real.shape)[real]
    level = bool((users.size == users.size[0]).all())
    code = users.split.numpy()[real] + 1
    group = code * (real.shape[1] if level else 1) + (step if level else 0)
    origin = np.full(real.shape, -1, dtype=np.int64)
    flat = origin.reshape(-1)
    for value in np.unique(group):
        places = where[group == value]
        flat[places] = rng.permutation(places)
    if not level:
        _sort_by_time(users, origin)
    taken = torch.from_numpy(np.maximum(origin, 0)).flatten()
    real_t = torch.from_numpy(real)
    y = torch.where(real_t, users.y.flatten()[taken].view_as(users.y), users.classes)
    split = torch.where(real_t, users.split.flatten()[taken].view_as(users.split), -1)
    row = np.where(real, users.row.reshape(-1)[np.maximum(origin, 0)], -1)
    return replace(users, row=row, y=y, split=split), origin


def _sort_by_time(users: Users, origin: Int[np.ndarray, "B S"]) -> None:
    """Put each history in order of the pool's rows, which is time, in place."""
    time = users.row.reshape(-1)
    for own in origin:
        kept = own[own >= 0]
        own[: len(kept)] = kept[np.argsort(time[kept], kind="stable")]
