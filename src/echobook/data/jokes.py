"""Ratings of jokes by people (Jester), and two public collections of joke texts.

Jester's ratings are real preferences; its texts are read as features only and never shown, nor are texts
that a collection flags. A joke's *kind* follows from its form by rules of our own, see :func:`kind_of`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from echobook.data.r_files import RValue, read_rda
from echobook.data.registry import public_use
from echobook.data.text_files import MalformedRow, item_line, read_json
from echobook.data.types import DatasetUse
from echobook.data.unicode import nfc

KINDS = ("riddle", "exchange", "line", "story")
LONG = 30  # words from which a joke is a story
JESTER = "Jester5k.rda"


@dataclass(frozen=True)
class Joke:
    """One joke: its text, a category, a kind of :data:`KINDS`, and whether a page may show it."""

    text: str
    category: str
    kind: str
    shown: bool


@dataclass(frozen=True)
class Ratings:
    """Ratings in -10..10 of U users for J jokes, NaN where there is none, and the jokes' texts."""

    values: Float[np.ndarray, "U J"]
    texts: tuple[str, ...]
    use: DatasetUse


def kind_of(text: str) -> str:
    """Form of a joke: a short question with its answer, an exchange of words, one line, or a story."""
    words, low = text.split(), text.lower()
    if low.startswith("knock") or text.count('"') >= 4 or low.count(" says") + low.count(" said") >= 2:
        return "exchange"
    if "?" in text and len(words) < LONG:
        return "riddle"
    return "line" if len(words) < LONG else "story"


def load_jester(folder: Path) -> Ratings:
    """Jester's 5,000 users and 100 jokes from a verified folder.

    Raises:
        MalformedR: not a saved workspace of R.
        ValueError: not the matrix and the texts that belong together.
    """
    content = read_rda(folder / JESTER)
    matrix = content["Jester5k"].attributes["data"]
    values = dense_of_columns(matrix)
    texts = tuple(" ".join(nfc(text).split()) for text in content["JesterJokes"].value)
    if len(texts) != values.shape[1]:
        raise ValueError(f"{folder / JESTER}: {len(texts)} texts for {values.shape[1]} rated jokes")
    counts = {"ratings": int(np.isfinite(values).sum()), "users": len(values), "jokes": len(texts)}
    return Ratings(values, texts, public_use("jester5k", counts, [JESTER]))


def dense_of_columns(matrix: RValue) -> Float[np.ndarray, "U J"]:
    """A column-compressed matrix (slots i, p, x, Dim) as a dense one; NaN where nothing is stored.

    Raises ValueError when the slots contradict each other.
    """
    slots = matrix.attributes
    rows, starts, values = (np.asarray(slots[name]) for name in ("i", "p", "x"))
    shape = (int(slots["Dim"][0]), int(slots["Dim"][1]))
    if len(starts) != shape[1] + 1 or starts[-1] != len(rows) or len(rows) != len(values):
        raise ValueError(
            f"matrix of {shape}: {len(starts)} column starts, {len(rows)} rows and {len(values)} values"
        )
    dense = np.full(shape, np.nan)
    dense[rows, np.repeat(np.arange(shape[1]), np.diff(starts))] = values
    return dense


def load_texts(jokeapi: Path, official: Path) -> tuple[list[Joke], list[DatasetUse]]:
    """Jokes that their collection marks as safe, and the jokes of a second one, each text once.

    Args:
        jokeapi, official: verified folders of the two collections.

    Raises:
        MalformedRow: an entry without the documented form; file and line are named.
    """
    first = [joke for joke in _jokeapi(jokeapi / "jokes-en.json") if joke.shown]
    second = _official(official / "index.json")
    seen: dict[str, Joke] = {}
    for joke in [*first, *second]:
        seen.setdefault(joke.text.lower(), joke)
    kept = list(seen.values())
    counts = [sum(joke.shown is shown for joke in kept) for shown in (True, False)]
    uses = [
        public_use("jokeapi", {"jokes": counts[0]}, ["jokes-en.json"]),
        public_use("official_joke_api", {"jokes": counts[1]}, ["index.json"]),
    ]
    return kept, uses


def _jokeapi(path: Path) -> list[Joke]:
    found = []
    for place, item in enumerate(_listed(path, read_json(path), "jokes")):
        parts = [str(item[name]) for name in ("joke", "setup", "delivery") if item.get(name)]
        if not parts or not isinstance(item.get("category"), str) or not isinstance(item.get("flags"), dict):
            line = item_line(path, "jokes", place)
            raise MalformedRow(path, line, "a joke, or setup and delivery; category and flags", item)
        shown = bool(item.get("safe")) and not any(item["flags"].values())
        found.append(_joke(parts, item["category"], shown))
    return found


def _official(path: Path) -> list[Joke]:
    document = read_json(path)
    if not isinstance(document, list):
        raise MalformedRow(path, 1, "a list of jokes", document)
    for place, item in enumerate(document):
        if not (isinstance(item, dict) and item.get("setup") and item.get("punchline")):
            raise MalformedRow(path, 1, f"setup and punchline in entry {place}", item)
    return [_joke([item["setup"], item["punchline"]], str(item.get("type")), False) for item in document]


def _listed(path: Path, document: Any, key: str) -> list[dict[str, Any]]:
    items = document.get(key) if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise MalformedRow(path, 1, f"a list under {key!r}", document)
    return items


def _joke(parts: Sequence[str], category: str, shown: bool) -> Joke:
    text = " ".join(nfc(" ".join(parts)).split())
    return Joke(text, category.lower(), kind_of(text), shown)
