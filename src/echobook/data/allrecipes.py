"""Recipes of Allrecipes with their cooks: two public data sets joined by the site's recipe number.

Who cooked what is in MealRec+H (numbers only); names, ingredients, cuisine and time are in tastyR. Read
here is tastyR's table of cuisines, the part that is published as CSV. Its larger table is an R data file;
:func:`require_rdata` says what reading it needs. Meals of MealRec+ are left alone: they are derived from
the same interactions, test ones included.
"""

import csv
import importlib.util
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int

from echobook.data.registry import public_use
from echobook.data.text_files import MalformedRow, read_lines
from echobook.data.types import DatasetUse

COOKS, TABLE = "mealrec_plus_H", "allrecipes_tastyr"
COOKS_FILES = ("course2index.txt", "course_category.txt", "course_fsa.txt", "user_course.txt")
CATEGORIES = ("appetiser", "main dish", "dessert")
_NUMBER = re.compile(r"/recipe/(\d+)/")
_AMOUNT = re.compile(r"\([^)]*\)|[^a-z ]")
_HANDLING = (
    "cup cups teaspoon teaspoons tablespoon tablespoons ounce ounces pound pounds clove cloves can cans "
    "jar package packages pinch dash slice slices piece pieces bunch stalk stalks sprig sprigs head "
    "small medium large extra fresh freshly frozen dried ground chopped minced sliced diced grated "
    "shredded crushed cubed peeled seeded halved quartered thinly finely coarsely cut into and taste "
    "needed for more the room temperature with inch all purpose divided drained rinsed softened melted "
    "beaten packed uncooked cooked boneless skinless optional about plus such desired garnish container "
    "box bag envelope each half halves thick lean whole very hot cold warm degrees quart pint fluid "
    "juiced zested lightly well removed trimmed cored pitted toasted torn "
)
_NOT_FOOD = frozenset(_HANDLING.split())


@dataclass(frozen=True)
class Cookbook:
    """Joined recipes and who cooked them.

    Attributes:
        recipes: name, cuisine, ingredients (a tuple), minutes (0: unknown), category ('' unknown), health
            (FSA score); index 0..I-1.
        user, recipe: one entry a pair, each pair once.
        uses: one for each data set.
    """

    recipes: pd.DataFrame
    user: Int[np.ndarray, " P"]
    recipe: Int[np.ndarray, " P"]
    uses: tuple[DatasetUse, ...]


def require_rdata() -> None:
    """Raise ImportError, naming what is missing, unless the package that reads R data files is there."""
    if importlib.util.find_spec("rdata") is None:
        raise ImportError(
            "allrecipes.rda is an R data file; reading it needs the package rdata, which is not installed. "
            "The published CSV of cuisines needs nothing: ask for table='cuisines'."
        )


def load_cookbook(cooks: Path, table: Path, *, least_user: int = 5, least_recipe: int = 3) -> Cookbook:
    """Join both folders and keep users and recipes with enough pairs (again and again until all have).

    Raises:
        MalformedRow: a row without the documented form; file and line are named.
        ValueError: nothing is left.
    """
    courses = _numbers(cooks / "course2index.txt", 2)
    place = {int(number): int(index) for number, index in courses}
    described = {
        place[key]: row for key, row in read_cuisines(table / "cuisines.csv").items() if key in place
    }
    pairs = np.unique(_numbers(cooks / "user_course.txt", 2), axis=0)
    pairs = pairs[np.isin(pairs[:, 1], list(described))]
    pairs = _core(pairs, least_user, least_recipe)
    if not len(pairs):
        raise ValueError(f"no pair left with {least_user} a user and {least_recipe} a recipe")
    user = np.unique(pairs[:, 0], return_inverse=True)[1]
    kept, recipe = np.unique(pairs[:, 1], return_inverse=True)
    category = dict(_numbers(cooks / "course_category.txt", 2).tolist())
    health = _numbers(cooks / "course_fsa.txt", 1)[:, 0]
    rows = [
        described[c]
        | {"category": CATEGORIES[category[c]] if c in category else "", "health": int(health[c])}
        for c in kept.tolist()
    ]
    uses = (
        public_use(COOKS, {"pairs": len(pairs)}, COOKS_FILES),
        public_use(TABLE, {"recipes": len(kept)}, ["cuisines.csv"]),
    )
    return Cookbook(pd.DataFrame(rows), user, recipe, uses)


def _core(pairs: np.ndarray, least_user: int, least_recipe: int) -> np.ndarray:
    while len(pairs):
        enough = np.bincount(pairs[:, 0])[pairs[:, 0]] >= least_user
        enough &= np.bincount(pairs[:, 1])[pairs[:, 1]] >= least_recipe
        if enough.all():
            break
        pairs = pairs[enough]
    return pairs


def _numbers(path: Path, columns: int) -> np.ndarray:
    rows = []
    for line, text in read_lines(path):
        fields = text.split("\t")
        if len(fields) != columns or not all(field.strip().isdecimal() for field in fields):
            raise MalformedRow(path, line, f"{columns} whole number(s), separated by a tab", text)
        rows.append([int(field) for field in fields])
    return np.array(rows, dtype=np.int64).reshape(-1, columns)


def read_cuisines(path: Path) -> dict[int, dict[str, object]]:
    """Rows of the table of cuisines by recipe number; rows without a number in their address are left out.

    Raises MalformedRow for a missing column, a row of another length, or one without a name.
    """
    reader = csv.DictReader((line + "\n" for _, line in read_lines(path)), strict=True)
    wanted = ("name", "country", "url", "ingredients", "total_time")
    if absent := [name for name in wanted if name not in (reader.fieldnames or ())]:
        raise MalformedRow(path, 1, f"the columns {', '.join(wanted)}", f"no {absent[0]}")
    found: dict[int, dict[str, object]] = {}
    for row in reader:
        if None in row or any(row[name] is None for name in wanted) or not row["name"].strip():
            raise MalformedRow(path, reader.line_num, "a row with all columns and a name", row.get("name"))
        if number := _NUMBER.search(row["url"]):
            time = row["total_time"].strip()
            found.setdefault(
                int(number[1]),
                {
                    "name": " ".join(row["name"].split()),
                    "cuisine": row["country"].strip(),
                    "ingredients": ingredients_of(row["ingredients"]),
                    "minutes": int(time) if time.isdecimal() else 0,
                },
            )
    return found


def ingredients_of(text: str) -> tuple[str, ...]:
    """Single words and neighbouring pairs of words of a comma-separated list, without amounts and handling.

    '2 (4 ounce) cans tomato sauce' gives sauce, tomato and tomato sauce.
    """
    found = set()
    for part in text.lower().split(","):
        words = [word for word in _AMOUNT.sub(" ", part).split() if word not in _NOT_FOOD and len(word) > 2]
        found |= set(words) | {f"{a} {b}" for a, b in pairwise(words)}
    return tuple(sorted(found))
