"""Three worlds: the generated kitchen, Allrecipes and Last.FM."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32, Int

from echobook.data import allrecipes, lastfm
from echobook.data.fetch import fetch
from echobook.data.generators.recipes import BEHAVIOURS, generate_kitchen
from echobook.data.types import DatasetUse
from echobook.papers.ckgat.material import LONGEST, Requests, World, as_matrix, split_pairs

Encode = Callable[[list[str]], Float32[np.ndarray, "N V"]]
SPLITS = ("validation", "test")
ASKING = "show me recipes with {}"


def kitchen(
    encode: Encode,
    *,
    seed: int,
    users: int = 400,
    recipes: int = 300,
    stray: float = 0.4,
    taste: float = 1.0,
) -> World:
    """The generated kitchen; to be found are later cook-alongs of recipes that the user has not yet seen."""
    made = generate_kitchen(seed=seed, users=users, recipes=recipes, stray=stray, taste=taste)
    return world_of_visits(
        f"kitchen, stray {stray:g}", made.recipes, made.visits, encode, (made.use,), BEHAVIOURS, goal="cook"
    )


def world_of_visits(
    name: str,
    book: pd.DataFrame,
    visits: pd.DataFrame,
    encode: Encode,
    uses: tuple[DatasetUse, ...],
    behaviours: Sequence[str],
    *,
    goal: str | None = None,
) -> World:
    """World of visits in order of time.

    Args:
        book: name, cuisine, ingredients, keywords, minutes of each recipe.
        visits: user, recipe (numbers), request ('' for none), behaviours (names), split.
        encode: texts to vectors.
        behaviours: names, from the weakest to the strongest.
        goal: the behaviour that is to be found; by default any.
    """
    users, items = int(visits["user"].max()) + 1, len(book)
    number = {what: i for i, what in enumerate(behaviours)}
    training = visits[visits["split"] == "train"]
    grouped: dict[tuple[int, int], list[int]] = {}
    asked: dict[tuple[int, int], str] = {}
    for u, i, word, done in training[["user", "recipe", "request", "behaviours"]].itertuples(index=False):
        grouped.setdefault((u, i), []).extend(number[what] for what in done)
        asked[u, i] = word
    pairs = np.array(list(grouped), dtype=np.int64).reshape(-1, 2)
    cut = [tuple(sequence[-LONGEST:]) for sequence in grouped.values()]
    sequences = tuple(sorted(set(cut)))
    place = {sequence: i for i, sequence in enumerate(sequences)}
    facts = facts_of(book)
    later = visits[[goal is None or goal in done for done in visits["behaviours"]]]
    later = later[[(u, i) not in grouped for u, i in zip(later["user"], later["recipe"], strict=True)]]
    wanted = {
        split: as_matrix(part["user"].to_numpy(), part["recipe"].to_numpy(), users, items)
        for split, part in ((s, later[later["split"] == s]) for s in SPLITS)
    }
    return World(
        name, users, items, pairs[:, 0], pairs[:, 1], *facts, wanted, uses, tuple(behaviours),
        np.array([place[sequence] for sequence in cut], dtype=np.int64), sequences,
        encode(book["name"].tolist()), tuple(book["name"]),
        _requests(book, encode, list(asked.values()), later),
    )  # fmt: skip


def _requests(book: pd.DataFrame, encode: Encode, asked: list[str], later: pd.DataFrame) -> Requests | None:
    words, matches = matching_words(book, sorted({w for w in (*asked, *later["request"]) if w}))
    if not words:
        return None
    number = {word: i for i, word in enumerate(words)}
    of_pair = np.array([number.get(word, -1) for word in asked], dtype=np.int64)
    queries = {}
    for split in SPLITS:
        part = later[later["split"] == split]
        rows = [
            (u, number[w], i)
            for u, w, i in zip(part["user"], part["request"], part["recipe"], strict=True)
            if w in number and matches[number[w], i]
        ]
        queries[split] = np.array(sorted(set(rows)), dtype=np.int64).reshape(-1, 3)
    return Requests(words, encode([ASKING.format(w) for w in words]), matches, of_pair, queries)


def matching_words(
    book: pd.DataFrame, words: Iterable[str]
) -> tuple[tuple[str, ...], Bool[np.ndarray, "W I"]]:
    """The words that some recipe has as ingredient, keyword or in its name, and which recipes have them."""
    has: dict[str, set[int]] = {}
    for i, row in enumerate(book.itertuples(index=False)):
        for word in _said_of(row):
            has.setdefault(word, set()).add(i)
    known = tuple(word for word in words if word in has)
    matches = np.zeros((len(known), len(book)), dtype=bool)
    for w, word in enumerate(known):
        matches[w, sorted(has[word])] = True
    return known, matches


def facts_of(
    book: pd.DataFrame, *, least: int = 2, most: float = 0.5
) -> tuple[Int[np.ndarray, " F"], Int[np.ndarray, " F"], Int[np.ndarray, " F"], tuple[str, ...], int]:
    """Facts of recipes: one relation for each kind of attribute; the time in buckets.

    An attribute is an entity if at least ``least`` recipes and at most a share ``most`` have it.

    Returns:
        heads (recipes), relations, tails (entities behind the recipes), names of the relations, entities.
    """
    columns: dict[str, list[tuple[str, ...]]] = {}
    for name, values in book.items():
        if name in ("ingredients", "keywords"):
            columns[str(name)] = [tuple(v) for v in values]
        elif name in ("cuisine", "category"):
            columns[str(name)] = [(v,) if v else () for v in values]
        elif name == "minutes":
            columns["time"] = [(_bucket(v),) if v else () for v in values]
        elif name == "health":
            columns["health"] = [(str(v),) for v in values]
    rows, count = [], len(book)
    for relation, cells in enumerate(columns.values()):
        number = pd.Series([v for cell in cells for v in set(cell)], dtype=object).value_counts()
        kept = sorted(number[(number >= least) & (number <= most * len(book))].index)
        place = {value: count + i for i, value in enumerate(kept)}
        count += len(kept)
        rows += [
            (i, relation, place[v]) for i, cell in enumerate(cells) for v in sorted(set(cell)) if v in place
        ]
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2], tuple(columns), count


def _said_of(row: Any) -> set[str]:
    """All words that a recipe answers to."""
    return {*row.ingredients, *getattr(row, "keywords", ()), *str(row.name).lower().split()}


def _bucket(minutes: int) -> str:
    return next((f"up to {limit}" for limit in (20, 40, 60, 120) if minutes <= limit), "longer")


def allrecipes_world(encode: Encode, *, seed: int, table: str = "cuisines") -> World:
    """Allrecipes: a random fifth of each user's pairs is to be found; requests are words of names.

    Raises:
        ImportError: ``table`` is not 'cuisines' and the package that reads R data files is missing.
    """
    if table != "cuisines":
        allrecipes.require_rdata()
        raise ValueError(f"table {table!r}: only 'cuisines' is prepared; see the data card")
    book = allrecipes.load_cookbook(
        fetch(allrecipes.COOKS, files=allrecipes.COOKS_FILES), fetch(allrecipes.TABLE, files=["cuisines.csv"])
    )
    recipes = book.recipes
    split = split_pairs(book.user, seed=seed)
    train = split == "train"
    users, items = int(book.user.max()) + 1, len(recipes)
    wanted = {s: as_matrix(book.user[split == s], book.recipe[split == s], users, items) for s in SPLITS}
    texts = encode(recipes["name"].tolist())
    return World(
        "allrecipes", users, items, book.user[train], book.recipe[train], *facts_of(recipes, least=5, most=0.3),  # noqa: E501
        wanted, book.uses, texts=texts, names=tuple(recipes["name"]),
        requests=_name_requests(recipes, encode, book.user, book.recipe, split, seed),
    )  # fmt: skip


def _name_requests(
    book: pd.DataFrame, encode: Encode, user: np.ndarray, item: np.ndarray, split: np.ndarray, seed: int
) -> Requests:
    """For each pair a word of the recipe's name that 5 to 60 recipes have, if there is one."""
    names = [set(str(name).lower().split()) for name in book["name"]]
    every, matches = matching_words(book, sorted(set().union(*names)))
    good = (matches.sum(axis=1) >= 5) & (matches.sum(axis=1) <= 60)
    words = tuple(word for word, ok in zip(every, good, strict=True) if ok and len(word) > 3)
    matches = matches[[every.index(word) for word in words]]
    rng = np.random.default_rng((seed, 45))
    drawn = np.full(len(user), -1)
    for p, i in enumerate(item):
        own = [w for w, word in enumerate(words) if word in names[i]]
        drawn[p] = own[int(rng.integers(len(own)))] if own else -1
    queries = {}
    for s in SPLITS:
        at = np.flatnonzero((split == s) & (drawn >= 0))
        queries[s] = np.stack([user[at], drawn[at], item[at]], axis=1)
    vectors = encode([ASKING.format(word) for word in words])
    return Requests(words, vectors, matches, drawn[split == "train"], queries)


def lastfm_world(*, seed: int, least_artist: int = 5) -> World:
    """Last.FM: a random fifth of each user's artists is to be found; no texts, no requests."""
    heard = lastfm.load_listening(fetch(lastfm.NAME, files=lastfm.FILES), least_artist=least_artist)
    split = split_pairs(heard.user, seed=seed)
    train, users = split == "train", int(heard.user.max()) + 1
    wanted = {
        s: as_matrix(heard.user[split == s], heard.artist[split == s], users, heard.artists) for s in SPLITS
    }
    return World(
        "lastfm", users, heard.artists, heard.user[train], heard.artist[train], heard.head, heard.relation,
        heard.tail, heard.relations, heard.entities, wanted, (heard.use,),
    )  # fmt: skip
