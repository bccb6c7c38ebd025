"""A reader's own recipes and visits: two CSV files in, recommendations out.

    found = recommend_csv(Path("recipes.csv"), Path("visits.csv"), request="chicken")
    found.table                     # user, rank, recipe, score
    found.write(Path("out.csv"))

`recipes.csv` has the columns recipe and ingredients (separated by semicolons), and may have cuisine,
keywords (semicolons) and minutes. `visits.csv` has the columns user, recipe and behaviour (browse, cart or
cook), in order of time, and may have request, the word that was asked for. The last visit of each user with
three or more is kept for choosing when to stop.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from echobook.data.generators.recipes import BEHAVIOURS
from echobook.data.text_files import MalformedRow, read_lines
from echobook.data.types import DatasetUse, rows_digest
from echobook.papers.ckgat.experiment import FULL, build
from echobook.papers.ckgat.material import World
from echobook.papers.ckgat.training import Budget, train
from echobook.papers.ckgat.worlds import Encode, matching_words, world_of_visits

RECIPES, VISITS = ("recipe", "ingredients"), ("user", "recipe", "behaviour")


@dataclass(frozen=True)
class Recommended:
    """What :func:`recommend_csv` found.

    Attributes:
        table: user, rank, recipe, score; best first within each user.
        validation: NDCG@20 on the visits that were kept for stopping.
        users, recipes, facts: of the graph.
    """

    table: pd.DataFrame
    validation: float
    users: int
    recipes: int
    facts: int

    def write(self, path: Path) -> None:
        """Write the table as CSV."""
        self.table.to_csv(path, index=False)


def _rows(path: Path, wanted: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows with their line numbers; all wanted columns are there and filled."""
    reader = csv.reader((line + "\n" for _, line in read_lines(path)), strict=True)
    header = [name.strip() for name in next(reader, [])]
    if absent := [name for name in wanted if name not in header]:
        raise MalformedRow(path, 1, f"the columns {', '.join(wanted)}", f"no {absent[0]} in {header}")
    for fields in reader:
        row = dict(zip(header, (field.strip() for field in fields), strict=False))
        if len(fields) != len(header):
            raise MalformedRow(path, reader.line_num, f"{len(header)} fields", fields)
        yield reader.line_num, row


def _parts(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip().lower() for part in text.split(";") if part.strip()))


def read_recipes(path: Path) -> tuple[pd.DataFrame, list[int]]:
    """Recipes with their line numbers.

    Raises:
        MalformedRow: a missing column, a recipe without a name, named twice, or without any attribute, or
            minutes that are no number; file and line are named.
    """
    rows: list[tuple[str, str, tuple[str, ...], tuple[str, ...], int]] = []
    lines: list[int] = []
    for line, row in _rows(path, RECIPES):
        ingredients, keywords = _parts(row["ingredients"]), _parts(row.get("keywords", ""))
        cuisine, minutes = row.get("cuisine", ""), row.get("minutes", "")
        if not row["recipe"] or row["recipe"] in {name for name, *_ in rows}:
            raise MalformedRow(path, line, "a recipe's name, each once", row["recipe"])
        if not (ingredients or keywords or cuisine):
            raise MalformedRow(path, line, "an attribute: ingredients, keywords or cuisine", row["recipe"])
        if minutes and not minutes.isdecimal():
            raise MalformedRow(path, line, "minutes as a whole number, or nothing", minutes)
        rows.append((row["recipe"], cuisine, ingredients, keywords, int(minutes or 0)))
        lines.append(line)
    return pd.DataFrame(rows, columns=["name", "cuisine", "ingredients", "keywords", "minutes"]), lines


def read_visits(path: Path, names: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Visits in their order, with numbers for users and recipes, and the users' names.

    Raises:
        MalformedRow: a missing column or user, a recipe that is not in the other file, a behaviour that is
            unknown; file and line are named.
        ValueError: fewer than two users with three visits: nothing to learn from.
    """
    place, users, rows = {name: i for i, name in enumerate(names)}, dict[str, int](), []
    for line, row in _rows(path, VISITS):
        if not row["user"]:
            raise MalformedRow(path, line, "a user", row)
        if row["recipe"] not in place:
            raise MalformedRow(path, line, "a recipe of the recipes' file", row["recipe"])
        if row["behaviour"] not in BEHAVIOURS:
            raise MalformedRow(path, line, f"a behaviour: {', '.join(BEHAVIOURS)}", row["behaviour"])
        user = users.setdefault(row["user"], len(users))
        rows.append((user, place[row["recipe"]], row.get("request", "").lower(), (row["behaviour"],)))
    frame = pd.DataFrame(rows, columns=["user", "recipe", "request", "behaviours"])
    size = frame.groupby("user")["user"].transform("size") if rows else pd.Series(dtype=int)
    last = frame.groupby("user").cumcount(ascending=False) == 0 if rows else size
    if frame.loc[size >= 3, "user"].nunique() < 2:
        raise ValueError(f"{path}: expected at least two users with three visits")
    return frame.assign(split=np.where((size >= 3) & last, "validation", "train")), list(users)


def read_world(recipes: Path, visits: Path, encode: Encode) -> tuple[World, list[str]]:
    """Both files as a world, and the users' names.

    Raises:
        MalformedRow: as the two readers, and a recipe that is an isolated node: nobody visits it and it
            shares no attribute with another.
    """
    book, lines = read_recipes(recipes)
    frame, users = read_visits(visits, book["name"].tolist())
    digest = rows_digest([*book.astype(str).to_numpy().tolist(), *frame.astype(str).to_numpy().tolist()])
    rows = {"recipes": len(book), "visits": len(frame)}
    use = DatasetUse(visits.stem, "own files", digest, "the reader's own", rows, visits.name)
    world = world_of_visits("own", book, frame, encode, (use,), BEHAVIOURS)
    reached = set(world.item.tolist()) | set(world.head.tolist())
    if alone := [i for i in range(len(book)) if i not in reached]:
        raise MalformedRow(
            recipes, lines[alone[0]], "a training visit or an attribute that another recipe shares",
            f"{book['name'][alone[0]]}, an isolated node",
        )  # fmt: skip
    return world, users


def recommend_csv(
    recipes: Path,
    visits: Path,
    *,
    request: str = "",
    k: int = 5,
    epochs: int = 40,
    seed: int = 0,
    encode: Encode | None = None,
) -> Recommended:
    """Train C-KGAT on own files and recommend ``k`` recipes to each user.

    Args:
        recipes, visits: the two files, see the module's text.
        request: only recipes that have this word in name, ingredients or keywords.
        k: recipes a user; fewer where fewer are new to the user.
        epochs: at most; training stops earlier when validation no longer improves.
        encode: texts to float32 vectors; by default the bundled sentence encoder.

    Raises:
        MalformedRow: as :func:`read_world`.
        ValueError: too few users, or a request that no recipe answers.
    """
    if encode is None:
        from echobook.text.encoder import SentenceEncoder

        encode = SentenceEncoder().encode
    world, names = read_world(recipes, visits, encode)
    open_ = _answers(recipes, world, request)
    model = build(FULL, world, seed=seed, weight=0.01)
    fit = train(model, world, Budget(epochs=epochs, decay=0.01), seed=seed)
    scores = fit.users @ fit.items.T
    scores[:, ~open_] = -np.inf
    scores[world.user, world.item] = -np.inf
    scores[world.wanted["validation"].nonzero()] = -np.inf
    rows = []
    for user, own in enumerate(scores):
        best = [i for i in np.argsort(-own, kind="stable")[:k] if np.isfinite(own[i])]
        rows += [(names[user], rank, world.names[i], float(own[i])) for rank, i in enumerate(best, start=1)]
    table = pd.DataFrame(rows, columns=["user", "rank", "recipe", "score"])
    return Recommended(table, fit.best, world.users, world.items, len(world.head))


def _answers(recipes: Path, world: World, request: str) -> np.ndarray:
    if not request:
        return np.ones(world.items, dtype=bool)
    book, word = read_recipes(recipes)[0], request.lower()
    known, matches = matching_words(book, [word])
    found = matches[0] if known else np.zeros(0, dtype=bool)
    if not found.any():
        raise ValueError(f"request {request!r}: no recipe has this word")
    return found
