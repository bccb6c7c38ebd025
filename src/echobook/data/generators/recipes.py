"""A kitchen from a seed: recipes with attributes, users with tastes, visits with behaviours.

A recipe has a cuisine, five to nine ingredients drawn from the cuisine's own distribution, and the two
keywords that its ingredients fit best; its name is made of cuisine, first ingredient and first keyword. A
user has a taste over ingredients, half their own and half that of favourite cuisines. The utility of a
recipe for a user is the taste for its ingredients, standardised over recipes, plus a quirk of the pair:

    v = taste z_ui + quirk e_ui ,      z, e of mean 0 and deviation 1 .

In a visit a user asks for a word and looks at one of the recipes that match it. With probability ``stray``
that is any of them, a click by mistake; else with probability in proportion to popularity, to whether the
word is in the name, and to exp(lean v). What has been looked at is put into the cart with probability
sigma(a (v - c1)), and what is in the cart is cooked along with probability sigma(a (v - c2)).

Visits are in order of time: training, then validation, then test. ``taste`` 0 is the control: utility has
nothing to do with attributes or with other users, so neither a graph nor a neighbour can help.
Everything is this file's own; no taste, utility or stray click leaves it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from echobook.data.types import DatasetUse, rows_digest

VERSION = "1"
BEHAVIOURS = ("browse", "cart", "cook")
CUISINES = ("coastal", "alpine", "desert", "island", "river", "forest", "harbour", "prairie")
INGREDIENTS = (
    "almond", "anchovy", "apple", "apricot", "barley", "basil", "bean", "beef", "beetroot", "butter",
    "cabbage", "caper", "carrot", "celery", "cheese", "cherry", "chicken", "chickpea", "chilli", "clam",
    "coconut", "cod", "corn", "cream", "cucumber", "cumin", "date", "dill", "duck", "egg",
    "fennel", "fig", "garlic", "ginger", "honey", "lamb", "leek", "lemon", "lentil", "lime",
    "mango", "mint", "mushroom", "mussel", "oat", "olive", "onion", "orange", "parsley", "pea",
    "pear", "pepper", "pork", "potato", "prawn", "pumpkin", "rice", "spinach", "tofu", "tomato",
)  # fmt: skip
KEYWORDS = (
    "soup", "stew", "salad", "roast", "bake", "curry", "pie", "noodles", "dumplings", "pancake",
    "skewer", "broth", "gratin", "risotto", "wrap", "toast", "chowder", "casserole", "relish", "pudding",
    "tart", "omelette", "pilaf", "stir-fry", "terrine", "flatbread", "hotpot", "slaw", "fritter", "porridge",
)  # fmt: skip
A, CART, COOK, LEAN = 2.0, 0.8, 1.6, 1.0  # slope and thresholds of behaviour; pull of taste on looking


@dataclass(frozen=True)
class Kitchen:
    """What was generated.

    Attributes:
        recipes: name, cuisine, ingredients and keywords (tuples), minutes; index 0..I-1.
        visits: user, recipe (numbers), request (a word), behaviours (a tuple of ``BEHAVIOURS``), split; in
            order of time for each user.
        use: for the results file.
    """

    recipes: pd.DataFrame
    visits: pd.DataFrame
    use: DatasetUse


def generate_kitchen(
    *,
    seed: int,
    users: int = 400,
    recipes: int = 300,
    visits: tuple[int, int, int] = (24, 8, 16),
    stray: float = 0.4,
    taste: float = 1.0,
    quirk: float = 0.5,
) -> Kitchen:
    """A kitchen; the tastes do not depend on ``stray``, so kitchens of one seed differ in clicks alone.

    Args:
        seed: of everything.
        users, recipes: >= 2 and >= 20.
        visits: of each user in training (at most; users differ), validation and test, each >= 1.
        stray: probability that a look is a mistake, 0 to 1.
        taste, quirk: see the module's text, >= 0.

    Raises:
        ValueError: an argument outside its range.
    """
    if users < 2 or recipes < 20 or min(visits) < 1 or not 0 <= stray <= 1 or min(taste, quirk) < 0:
        raise ValueError(
            "kitchen: expected users >= 2, recipes >= 20, visits >= 1, 0 <= stray <= 1, taste, quirk >= 0; "
            f"got {users}, {recipes}, {visits}, {stray}, {taste}, {quirk}"
        )
    book = _recipes(np.random.default_rng((seed, 31)), recipes)
    world = np.random.default_rng((seed, 32))
    has = _has(book)
    utility = _utility(world, book, has, users, taste, quirk)
    popularity = world.pareto(1.5, recipes) + 0.3
    rows = _all_visits(
        np.random.default_rng((seed, 33)), book, has, utility, popularity, visits=visits, stray=stray
    )
    frame = pd.DataFrame(rows, columns=["user", "recipe", "request", "behaviours", "split"])
    version = f"{VERSION}, seed {seed}, stray {stray:g}, taste {taste:g}"
    counts = {split: int((frame["split"] == split).sum()) for split in ("train", "validation", "test")}
    digest = rows_digest([*book.astype(str).to_numpy().tolist(), *frame.astype(str).to_numpy().tolist()])
    use = DatasetUse(
        f"generated kitchen, stray {stray:g}", version, digest, "CC0-1.0 (generated)", counts, __name__
    )
    return Kitchen(book, frame, use)


def _recipes(rng: np.random.Generator, count: int) -> pd.DataFrame:
    pantry = rng.dirichlet(np.full(len(INGREDIENTS), 0.15), len(CUISINES)) + 1e-4
    fits = rng.random((len(KEYWORDS), len(INGREDIENTS))) ** 4
    rows = []
    for _ in range(count):
        cuisine = int(rng.integers(len(CUISINES)))
        share = pantry[cuisine] / pantry[cuisine].sum()
        taken = rng.choice(len(INGREDIENTS), int(rng.integers(5, 10)), replace=False, p=share)
        words = np.argsort(-fits[:, taken].sum(axis=1), kind="stable")[:2]
        name = f"{CUISINES[cuisine]} {INGREDIENTS[taken[0]]} {KEYWORDS[words[0]]}"
        parts = tuple(INGREDIENTS[i] for i in taken)
        rows.append(
            (name, CUISINES[cuisine], parts, tuple(KEYWORDS[w] for w in words), 10 * int(rng.integers(1, 10)))
        )
    return pd.DataFrame(rows, columns=["name", "cuisine", "ingredients", "keywords", "minutes"])


def _has(book: pd.DataFrame) -> Float[np.ndarray, "I M"]:
    place = {word: i for i, word in enumerate(INGREDIENTS)}
    has = np.zeros((len(book), len(INGREDIENTS)))
    for row, parts in enumerate(book["ingredients"]):
        has[row, [place[part] for part in parts]] = 1
    return has


def _utility(
    rng: np.random.Generator,
    book: pd.DataFrame,
    has: Float[np.ndarray, "I M"],
    users: int,
    taste: float,
    quirk: float,
) -> Float[np.ndarray, "U I"]:
    own = rng.dirichlet(np.full(len(INGREDIENTS), 0.2), users)
    favourite = rng.dirichlet(np.full(len(CUISINES), 0.2), users)
    member = np.stack([(book["cuisine"] == name).to_numpy(dtype=np.float64) for name in CUISINES])
    kitchen = member @ has / np.maximum(member @ has @ np.ones((has.shape[1], 1)), 1)
    liked = (0.5 * own + 0.5 * favourite @ kitchen) @ has.T  # (U, I)
    z = (liked - liked.mean(axis=1, keepdims=True)) / liked.std(axis=1, keepdims=True)
    return taste * z + quirk * rng.standard_normal(z.shape)


def _all_visits(
    rng: np.random.Generator,
    book: pd.DataFrame,
    has: Float[np.ndarray, "I M"],
    utility: Float[np.ndarray, "U I"],
    popularity: Float[np.ndarray, " I"],
    *,
    visits: tuple[int, int, int],
    stray: float,
) -> list[tuple[int, int, str, tuple[str, ...], str]]:
    words, matches, named = _words(book)
    rows = []
    for user, v in enumerate(utility):
        pull = matches @ np.exp(v) / matches.sum(axis=1)  # a user asks for what promises much
        numbers = (int(rng.integers(max(1, visits[0] // 3), visits[0] + 1)), *visits[1:])
        for split, number in zip(("train", "validation", "test"), numbers, strict=True):
            for word in rng.choice(len(words), number, p=pull / pull.sum()):
                recipe = _look(rng, matches[word], named[word], v, popularity, stray)
                rows.append((user, recipe, words[word], _behave(rng, v[recipe]), split))
    return rows


def _words(book: pd.DataFrame) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Words with at least five matching recipes; which recipes match, and which have the word in the name."""
    found = {word: np.zeros(len(book)) for word in (*INGREDIENTS, *KEYWORDS)}
    for row, (parts, keywords) in enumerate(zip(book["ingredients"], book["keywords"], strict=True)):
        for word in (*parts, *keywords):
            found[word][row] = 1
    words = [word for word, match in found.items() if match.sum() >= 5]
    named = [[float(word in name.split()) for name in book["name"]] for word in words]
    return words, np.stack([found[word] for word in words]), np.array(named)


def _look(
    rng: np.random.Generator,
    match: np.ndarray,
    named: np.ndarray,
    v: np.ndarray,
    popularity: np.ndarray,
    stray: float,
) -> int:
    mistake, drawn = rng.random(2)
    weight = match if mistake < stray else match * (1 + named) * popularity * np.exp(LEAN * v)
    return int(np.searchsorted(np.cumsum(weight), drawn * weight.sum(), side="right"))


def _behave(rng: np.random.Generator, v: float) -> tuple[str, ...]:
    cart, cook = rng.random(2) < 1 / (1 + np.exp(-A * (v - np.array([CART, COOK]))))
    return BEHAVIOURS[: 1 + int(cart) + int(cart and cook)]
