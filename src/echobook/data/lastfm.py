"""Listening of Last.FM users with a graph of facts about artists, as published with KGCN.

Every artist that a user has listened to is a pair; counts are not used. Facts are triples of entities; an
artist is one of the entities.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from echobook.data.registry import public_use
from echobook.data.text_files import MalformedRow, read_lines
from echobook.data.types import DatasetUse

NAME = "lastfm_kgcn"
FILES = ("item_index2entity_id.txt", "kg.txt", "user_artists.dat")


@dataclass(frozen=True)
class Listening:
    """Pairs and facts; artists are entities 0..I-1 of the facts.

    Attributes:
        user, artist: one entry a pair, each pair once.
        head, relation, tail: of each fact.
        relations: names.
        artists, entities: how many; entities count the artists.
        use: for the results file.
    """

    user: Int[np.ndarray, " P"]
    artist: Int[np.ndarray, " P"]
    head: Int[np.ndarray, " F"]
    relation: Int[np.ndarray, " F"]
    tail: Int[np.ndarray, " F"]
    relations: tuple[str, ...]
    artists: int
    entities: int
    use: DatasetUse


def load_listening(folder: Path, *, least_user: int = 5, least_artist: int = 5) -> Listening:
    """Read the three files; keep users and artists with enough pairs, facts that touch a kept artist.

    Raises:
        MalformedRow: a row without the documented form; file and line are named.
        ValueError: nothing is left.
    """
    entity = {int(a): int(b) for a, b in _rows(folder / FILES[0], 2)}
    pairs = np.array(
        [(int(u), entity[int(a)]) for u, a, _ in _rows(folder / FILES[2], 3, header=True) if int(a) in entity]
    )
    pairs = np.unique(pairs.reshape(-1, 2), axis=0)
    while len(pairs):
        enough = np.bincount(pairs[:, 0])[pairs[:, 0]] >= least_user
        enough &= np.bincount(pairs[:, 1])[pairs[:, 1]] >= least_artist
        if enough.all():
            break
        pairs = pairs[enough]
    if not len(pairs):
        raise ValueError(f"no pair left with {least_user} a user and {least_artist} an artist")
    kept, artist = np.unique(pairs[:, 1], return_inverse=True)
    facts = [(int(h), r, int(t)) for h, r, t in _rows(folder / FILES[1], 3, words=1)]
    return _numbered(np.unique(pairs[:, 0], return_inverse=True)[1], artist, kept, facts)


def _numbered(
    user: np.ndarray, artist: np.ndarray, kept: np.ndarray, facts: list[tuple[int, str, int]]
) -> Listening:
    """Number artists first, then the other entities of facts that touch one."""
    ours = set(kept.tolist())
    facts = [fact for fact in facts if fact[0] in ours or fact[2] in ours]
    others = sorted({end for h, _, t in facts for end in (h, t)} - ours)
    place = {entity: i for i, entity in enumerate([*kept.tolist(), *others])}
    relations = tuple(sorted({r for _, r, _ in facts}))
    number = {name: i for i, name in enumerate(relations)}
    head, relation, tail = (
        np.array(part, dtype=np.int64)
        for part in zip(*[(place[h], number[r], place[t]) for h, r, t in facts], strict=True)
    )
    use = public_use(NAME, {"pairs": len(user), "facts": len(facts)}, FILES)
    return Listening(user, artist, head, relation, tail, relations, len(kept), len(place), use)


def _rows(path: Path, columns: int, *, header: bool = False, words: int | None = None) -> list[list[str]]:
    """Tab-separated rows; all fields whole numbers but the one numbered ``words``."""
    rows = []
    for line, text in read_lines(path):
        fields = [field.strip() for field in text.split("\t")]
        if header and line == 1:
            continue
        numbers = [field for place, field in enumerate(fields) if place != words]
        if len(fields) != columns or not all(field.isdecimal() for field in numbers) or not all(fields):
            raise MalformedRow(path, line, f"{columns} filled fields separated by tabs, whole numbers", text)
        rows.append(fields)
    return rows
