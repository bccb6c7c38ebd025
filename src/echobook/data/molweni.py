"""Molweni (Li et al. 2020): short Ubuntu dialogues, each turn with the one earlier turn that it continues.

Discourse relations ``x -> y`` of 500 development and 500 test dialogues of 7 to 14 turns; the training file
is not in the pinned commit. A turn without a relation (25 in all, besides first turns) starts anew."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echobook.data.fetch import fetch
from echobook.data.registry import public_use
from echobook.data.text_files import MalformedRow, read_json
from echobook.data.types import DatasetUse

DATASET = "molweni-dp"
FILES = {"dev": "dev.json", "test": "test.json"}


@dataclass(frozen=True)
class Dialogue:
    """Turns in order (a speaker may be unnamed); ``parents`` of each turn: the turn that it continues, or
    none.
    """

    id: str
    speakers: tuple[str, ...]
    texts: tuple[str, ...]
    parents: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.texts)


def load_molweni(split: str) -> tuple[list[Dialogue], DatasetUse]:
    """The dialogues of one split in file order, and what was used.

    Raises:
        ValueError: an unknown split.
        MalformedRow, echobook.data.fetch.FetchError: a bad dialogue, a bad file.
    """
    if split not in FILES:
        raise ValueError(f"split: expected one of {', '.join(FILES)}, got {split!r}")
    folder = fetch(DATASET, files=[FILES[split]])
    dialogues = read_dialogues(folder / FILES[split])
    turns = sum(map(len, dialogues))
    return dialogues, public_use(DATASET, {split: turns}, [FILES[split]])


def read_dialogues(path: Path) -> list[Dialogue]:
    """Dialogues of one file.

    Raises:
        MalformedRow: not a list of dialogues with ``edus`` and ``relations``, a missing speaker, a blank
            text, a relation to a turn that is not there or not earlier; file and line are named.
    """
    document = read_json(path)
    if not isinstance(document, list) or not document:
        raise MalformedRow(path, 1, "a list of dialogues", type(document).__name__)
    return [_dialogue(path, place, entry) for place, entry in enumerate(document)]


def _dialogue(path: Path, place: int, entry: Any) -> Dialogue:
    try:
        speakers = [str(turn["speaker"]).strip() for turn in entry["edus"]]
        texts = [" ".join(str(turn["text"]).split()) for turn in entry["edus"]]
        pairs = [(int(relation["x"]), int(relation["y"])) for relation in entry["relations"]]
        name = str(entry["id"])
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedRow(
            path, _line(path, place), f"dialogue {place} with id, edus and relations", entry
        ) from error
    if not texts or not all(texts):
        raise MalformedRow(path, _line(path, place), f"filled turns in dialogue {name}", texts)
    return Dialogue(name, tuple(speakers), tuple(texts), _parents(path, place, name, len(texts), pairs))


def _parents(
    path: Path, place: int, name: str, turns: int, pairs: Sequence[tuple[int, int]]
) -> tuple[tuple[int, ...], ...]:
    found: list[set[int]] = [set() for _ in range(turns)]
    for parent, child in pairs:
        if not 0 <= parent < child < turns:
            expected = f"a relation from an earlier to a later of {turns} turns in dialogue {name}"
            raise MalformedRow(path, _line(path, place), expected, (parent, child))
        found[child].add(parent)
    return tuple(tuple(sorted(above)) for above in found)


def _line(path: Path, place: int) -> int:
    """Line on which a dialogue begins; used for error messages only."""
    text = path.read_text(encoding="utf-8")
    start = -1
    for _ in range(place + 1):
        start = text.find('"edus"', start + 1)
    return text.count("\n", 0, max(start, 0)) + 1
