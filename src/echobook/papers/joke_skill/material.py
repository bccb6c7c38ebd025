"""From ratings and texts to worlds: jokes with features, and what each customer would think of each.

*Jester* worlds take likings from real ratings, standardised over all of them; a joke without a rating by a
customer is never told to that customer. *Text* worlds draw tastes over features of the jokes, so that a joke
nobody has heard can be ranked by its text alone.

Jester's jokes have no categories: theirs are clusters of text vectors. Text vectors are TF-IDF over words
and pairs of words, brought down to D dimensions by a truncated singular value decomposition.

Axes: U customers, J jokes, D dimensions, F features, L tokens of a text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from echobook.data.fetch import fetch
from echobook.data.generators.jokes import Taste, draw_tastes, generate_jokes
from echobook.data.jokes import Joke, kind_of, load_jester, load_texts
from echobook.data.types import DatasetUse
from echobook.text.lexical import words

DIMENSIONS, CLUSTERS, TEXT_SEED = 16, 8, 2019
TASTE = Taste()
TOKENS = 40  # of a text; the rest is cut off
RARE, FEW = 2, 50  # texts in which a word must occur; of fewer than so many texts every word counts


@dataclass(frozen=True)
class JokeTable:
    """Features of J jokes.

    Attributes:
        jokes: the jokes.
        groups: number of the group of each joke, by what groups it: category, kind.
        names: names of the groups.
        vectors: text vectors of unit length.
        tokens: word numbers from 2 on, 1 for a rare word, 0 for filling.
        vocabulary: number of word numbers.
    """

    jokes: tuple[Joke, ...]
    groups: Mapping[str, Int[np.ndarray, " J"]]
    names: Mapping[str, tuple[str, ...]]
    vectors: Float[np.ndarray, "J D"]
    tokens: Int[np.ndarray, "J L"]
    vocabulary: int

    def __len__(self) -> int:
        return len(self.jokes)

    @property
    def described(self) -> Float[np.ndarray, "J F"]:
        """Category, kind, length and text vector side by side."""
        length = np.log([len(joke.text.split()) for joke in self.jokes])[:, None]
        hot = [np.eye(len(self.names[what]))[self.groups[what]] for what in ("category", "kind")]
        return np.concatenate([*hot, length - length.mean(), self.vectors], axis=1)


@dataclass(frozen=True)
class World:
    """Jokes and customers.

    Attributes:
        name: of the world.
        jokes: the jokes.
        liking: what each customer would think of each joke, standardised; NaN where it cannot be told.
        released: second from which a joke may be told.
        uses: data sets, for the results file.
    """

    name: str
    jokes: JokeTable
    liking: Float[np.ndarray, "U J"]
    released: Int[np.ndarray, " J"]
    uses: tuple[DatasetUse, ...]

    @property
    def tellable(self) -> Bool[np.ndarray, "U J"]:
        """Which jokes can be told to whom."""
        return np.isfinite(self.liking)


def joke_table(jokes: Sequence[Joke], *, dimensions: int = DIMENSIONS) -> JokeTable:
    """Features of jokes, the same in every run.

    Raises ValueError for fewer than three jokes.
    """
    if len(jokes) < 3:
        raise ValueError(f"jokes: expected at least 3, got {len(jokes)}")
    vectors = text_vectors([joke.text for joke in jokes], dimensions)
    groups, names = {}, {}
    for what in ("category", "kind"):
        found, numbers = np.unique([getattr(joke, what) for joke in jokes], return_inverse=True)
        groups[what], names[what] = numbers.astype(np.int64), tuple(map(str, found))
    tokens, vocabulary = tokenised([joke.text for joke in jokes])
    return JokeTable(tuple(jokes), groups, names, vectors, tokens, vocabulary)


def text_vectors(texts: Sequence[str], dimensions: int) -> Float[np.ndarray, "J D"]:
    """TF-IDF of words and pairs, reduced, each of unit length (a text of rare words only: zeros)."""
    least = RARE if len(texts) >= FEW else 1
    weighted = TfidfVectorizer(ngram_range=(1, 2), min_df=least, sublinear_tf=True).fit_transform(texts)
    size = min(dimensions, min(weighted.shape) - 1)
    reduced = (
        TruncatedSVD(size, random_state=TEXT_SEED).fit_transform(weighted) if size else weighted.toarray()
    )
    return reduced / np.maximum(np.linalg.norm(reduced, axis=1, keepdims=True), 1e-9)


def tokenised(texts: Sequence[str]) -> tuple[Int[np.ndarray, "J L"], int]:
    """Word numbers of each text and their number; words of a single text share number 1."""
    split = [words(text)[:TOKENS] for text in texts]
    where: dict[str, int] = {}
    for one in split:
        for word in set(one):
            where[word] = where.get(word, 0) + 1
    known = {word: place + 2 for place, word in enumerate(sorted(w for w, n in where.items() if n >= RARE))}
    tokens = np.zeros((len(texts), max(1, *(len(one) for one in split))), dtype=np.int64)
    for row, one in enumerate(split):
        tokens[row, : len(one)] = [known.get(word, 1) for word in one]
    return tokens, len(known) + 2


def jester_world(*, users: int) -> World:
    """Jester's ratings; ``users`` of its 5,000 customers, the same in every run.

    Raises the errors of fetching and reading; ValueError for no users.
    """
    ratings = load_jester(fetch("jester5k", files=["Jester5k.rda"]))
    if users < 1:
        raise ValueError(f"users: expected at least 1, got {users}")
    total = len(ratings.values)
    chosen = np.sort(np.random.default_rng(TEXT_SEED).permutation(total)[:users])
    mean, spread = np.nanmean(ratings.values), np.nanstd(ratings.values)
    vectors = text_vectors(ratings.texts, DIMENSIONS)
    cluster = KMeans(CLUSTERS, n_init=10, random_state=TEXT_SEED).fit_predict(vectors)
    jokes = [
        Joke(text, f"cluster {number}", kind_of(text), False)
        for text, number in zip(ratings.texts, cluster, strict=True)
    ]
    liking = (ratings.values[chosen] - mean) / spread
    return World("jester", joke_table(jokes), liking, np.zeros(len(jokes), dtype=np.int64), (ratings.use,))


def text_world(
    jokes: Sequence[Joke],
    uses: Sequence[DatasetUse],
    *,
    name: str,
    users: int,
    seed: int,
    taste: Taste = TASTE,
    held_back: float = 0.0,
    release: int = 0,
) -> World:
    """Tastes drawn over category, kind and text vector.

    Args:
        held_back: share of the jokes, drawn at random, that are told only from second ``release`` on.

    Raises:
        ValueError: a share outside [0, 1).
    """
    if not 0 <= held_back < 1:
        raise ValueError(f"held_back: expected a share in [0, 1), got {held_back}")
    table = joke_table(jokes)
    liking = draw_tastes(table.described, taste, users=users, seed=seed)
    new = np.random.default_rng((seed, 82)).permutation(len(table)) < round(held_back * len(table))
    return World(name, table, liking, np.where(new, release, 0).astype(np.int64), tuple(uses))


def generated_world(*, users: int, jokes: int, seed: int, name: str = "generated", **more: object) -> World:
    """Generated jokes with drawn tastes; ``more`` as in :func:`text_world`."""
    made, use = generate_jokes(seed=seed, jokes=jokes)
    return text_world(made, [use], name=name, users=users, seed=seed, **more)  # type: ignore[arg-type]


def collected_world(*, users: int, seed: int, **more: object) -> World:
    """The two public collections with drawn tastes; ``more`` as in :func:`text_world`."""
    folders = [fetch("jokeapi", files=["jokes-en.json"]), fetch("official_joke_api", files=["index.json"])]
    jokes, uses = load_texts(*folders)
    return text_world(jokes, uses, name="collected", users=users, seed=seed, **more)  # type: ignore[arg-type]
