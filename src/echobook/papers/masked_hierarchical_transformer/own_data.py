"""A reader's own chat: one call from a CSV to the links of every message.

    answers = link_csv(Path("chat.csv"), annotated=Path("annotated.csv"))
    answers.links     # one row a message: id, speaker, text, and the id that it answers (its own: a start)

Both files have a header with the columns id, time (hh:mm), speaker and text. The annotated one also has
``reply_to``: the id that a row answers, several with blanks between, or its own id where it starts a
conversation. Rows before the first that has one are read as context. The model is the paper's with
features, trained on the annotated file; rows are linked in their order with the history predicted so far.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from echobook.data.irc import Channel, Message
from echobook.data.text_files import MalformedRow, read_lines
from echobook.dialogue.threads import find_cycle
from echobook.papers.masked_hierarchical_transformer.evaluation import choose_in_turn
from echobook.papers.masked_hierarchical_transformer.experiment import (
    ChannelTask,
    Sizes,
    train_channel_arm,
)
from echobook.papers.masked_hierarchical_transformer.material import (
    Encode,
    channel_conversation,
    make_pool,
)
from echobook.papers.masked_hierarchical_transformer.training import Plan

COLUMNS = ("id", "time", "speaker", "text")
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
HELD_OUT = 5  # every fifth annotated message, the latest ones, chooses the epoch


@dataclass(frozen=True)
class Linked:
    """What :func:`link_csv` found.

    Attributes:
        links: id, speaker, text and answers, one row a message.
        conversations: number of starts.
        dev: link F1 on the last fifth of the annotated messages, which chose the epoch.
    """

    links: pd.DataFrame
    conversations: int
    dev: float


def read_chat(path: Path, *, annotated: bool = False) -> tuple[Channel, list[str]]:
    """A chat as a channel, and the ids of its rows.

    Args:
        annotated: the file must have links.

    Raises: MalformedRow: a missing column, an empty field, a repeated id, a time that is none, an unknown
        ``reply_to``; rows that answer each other in a circle; a parent that comes after its row; no row at
        all, or, where links are needed, no ``reply_to`` at all or none behind the first. File and line are
        named."""
    rows = _rows(path, COLUMNS + (("reply_to",) if annotated else ()))
    place_of: dict[str, int] = {}
    for place, (line, row) in enumerate(rows):
        if place_of.setdefault(row["id"], place) != place:
            raise MalformedRow(path, line, "an id that no earlier row has", row["id"])
    messages = tuple(_message(path, line, row) for line, row in rows)
    links = _links(path, rows, place_of)
    if annotated and not links:
        raise MalformedRow(path, 2, "a reply_to in at least one row; a channel without annotations", "none")
    first = min(links, default=0)
    if annotated and (bare := [place for place in range(first, len(rows)) if place not in links]):
        line, row = rows[bare[0]]
        raise MalformedRow(path, line, "a reply_to in every row behind the first that has one", row["id"])
    return Channel(f"0000 {path.stem}", messages, links, first), list(place_of)


def _rows(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    reader = csv.reader((line + "\n" for _, line in read_lines(path)), strict=True)
    header = [name.strip() for name in next(reader, [])]
    if absent := [name for name in columns if name not in header]:
        raise MalformedRow(path, 1, f"the columns {', '.join(columns)}", f"no {absent[0]} in {header}")
    rows = []
    for fields in reader:
        row = dict(zip(header, (field.strip() for field in fields), strict=False))
        if len(fields) != len(header) or not all(row[name] for name in COLUMNS):
            raise MalformedRow(path, reader.line_num, f"filled fields {', '.join(COLUMNS)}", fields)
        rows.append((reader.line_num, row))
    if not rows:
        raise MalformedRow(path, 2, "at least one row", "end of file")
    return rows


def _message(path: Path, line: int, row: Mapping[str, str]) -> Message:
    time = _TIME.fullmatch(row["time"])
    if not time:
        raise MalformedRow(path, line, "a time hh:mm", row["time"])
    minute = int(time[1]) * 60 + int(time[2])
    whole = f"[{row['time']}] <{row['speaker']}> {row['text']}"
    return Message(row["speaker"], row["text"], minute, False, whole)


def _links(
    path: Path, rows: Sequence[tuple[int, Mapping[str, str]]], place_of: Mapping[str, int]
) -> dict[int, tuple[int, ...]]:
    found: dict[int, tuple[int, ...]] = {}
    for place, (line, row) in enumerate(rows):
        named = row.get("reply_to", "").split()
        if unknown := [name for name in named if name not in place_of]:
            raise MalformedRow(path, line, "a reply_to that is the id of a row", unknown[0])
        if named:
            found[place] = tuple(sorted({place_of[name] for name in named}))
    _refuse_impossible(path, rows, found)
    return found


def _refuse_impossible(
    path: Path, rows: Sequence[tuple[int, Mapping[str, str]]], links: Mapping[int, tuple[int, ...]]
) -> None:
    circle = find_cycle([links.get(place, ()) for place in range(len(rows))])
    if circle:
        ids = " -> ".join(rows[place][1]["id"] for place in circle)
        raise MalformedRow(path, rows[circle[0]][0], "no rows that answer each other in a circle", ids)
    for place, parents in links.items():
        if parents[-1] > place:
            line, row = rows[place]
            later = rows[parents[-1]][1]["id"]
            raise MalformedRow(path, line, f"row {row['id']} to answer an earlier row", later)


def link_csv(
    path: Path, *, annotated: Path, encode: Encode | None = None, epochs: int = 20, seed: int = 0
) -> Linked:
    """Train on an annotated chat and link every message of another.

    Args:
        path: the chat; all its rows are linked.
        annotated: the chat with ``reply_to``; its last fifth of annotated rows chooses the epoch.
        encode: texts to float32 vectors; by default the bundled sentence encoder.

    Raises:
        MalformedRow: as :func:`read_chat`.
        ValueError: fewer than ten annotated rows.
    """
    channel, _ = read_chat(annotated, annotated=True)
    chat, ids = read_chat(path)
    if len(channel.links) < 2 * HELD_OUT:
        raise ValueError(
            f"{annotated}: expected at least {2 * HELD_OUT} annotated rows, got {len(channel.links)}"
        )
    encode = encode or _bundled()
    cut = sorted(channel.links)[-(len(channel.links) // HELD_OUT)]
    parts = [
        Channel(channel.name, channel.messages[:cut], _below(channel.links, 0, cut), channel.first),
        Channel(channel.name, channel.messages, _below(channel.links, cut, len(channel.messages)), cut),
    ]
    pools = [make_pool([channel_conversation(part)], encode) for part in parts]
    task = ChannelTask(pools[0], pools[1], [parts[1]])
    plan = Plan(epochs, 1e-3, 16)
    scorer = train_channel_arm("ours-f", task, Sizes(64, 128), plan, seed=seed)
    whole = Channel(chat.name, chat.messages, {}, 0)
    pool = make_pool([channel_conversation(whole)], encode)
    chosen = choose_in_turn(scorer, pool, self_link=True)[0]
    frame = pd.DataFrame(
        {
            "id": ids,
            "speaker": [message.speaker for message in chat.messages],
            "text": [message.text for message in chat.messages],
            "answers": [ids[parent] for parent in chosen],
        }
    )
    starts = int(np.sum(np.array(chosen) == np.arange(len(chosen))))
    return Linked(frame, starts, max(scorer.curve))


def _below(links: Mapping[int, tuple[int, ...]], low: int, high: int) -> dict[int, tuple[int, ...]]:
    return {place: parents for place, parents in links.items() if low <= place < high}


def _bundled() -> Encode:
    from echobook.text.encoder import SentenceEncoder

    return SentenceEncoder().encode
