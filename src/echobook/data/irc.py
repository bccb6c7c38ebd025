"""Ubuntu IRC with annotated replies (Kummerfeld et al. 2019): one channel log a file, links between lines.

A log has one message a line: ``[hh:mm] <name> text``, an action ``[hh:mm]  * name text``, or a system line
``=== name has joined ...``, which counts as a message too. Annotation lines ``a b -`` link two lines of the
log: the later one answers the earlier one, ``a a -`` starts a conversation. Only lines from 1000 on are
annotated (their parents may come before); earlier ones are context whose structure is unknown."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from echobook.data.fetch import fetch
from echobook.data.registry import dataset_rows, public_use
from echobook.data.text_files import MalformedRow, read_lines
from echobook.data.types import DatasetUse

DATASET = "ubuntu-irc"
SPLITS = ("train", "dev", "test")
FIRST = 1000  # first annotated line of an Ubuntu log
_MESSAGE = re.compile(
    r"\[(\d\d):(\d\d)\] (?: ?\* (?P<actor>\S+)|<(?P<name>[^>\s]*)>|(?P<other>\S+))(?: (.*))?"
)


@dataclass(frozen=True)
class Message:
    """One line of a log.

    Attributes:
        speaker: name as written; of a system line its first word behind ``===``.
        text: what was said, without time and name.
        minute: minute of the day, 0 to 1439; a system line has that of the message before.
        system: whether it is a system line.
        whole: the line itself, stripped.
    """

    speaker: str
    text: str
    minute: int
    system: bool
    whole: str


@dataclass(frozen=True)
class Channel:
    """One log with its links.

    Attributes:
        name: file name without its ending, which begins with the date.
        messages: all lines.
        links: parents of each annotated message, in rising order; itself where it starts a conversation.
        first: number of the first annotated message.
    """

    name: str
    messages: tuple[Message, ...]
    links: Mapping[int, tuple[int, ...]]
    first: int

    @property
    def year(self) -> int:
        """Year of the log, from its name."""
        return int(self.name[:4])

    @property
    def annotated(self) -> range:
        """Numbers of the annotated messages."""
        return range(self.first, len(self.messages))


def load_irc(split: str, *, files: int | None = None) -> tuple[list[Channel], DatasetUse]:
    """The logs of one split in the order of their names, and what was used.

    Args:
        split: train (66 of the 153 published logs), dev or test (10 each).
        files: only so many logs, spread evenly over the years.

    Raises:
        ValueError: an unknown split, or fewer than one log asked for.
        MalformedRow: a line that is no message or no link; file and line are named.
        echobook.data.fetch.FetchError: files missing or not the registered ones.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    if files is not None and files < 1:
        raise ValueError(f"files: expected at least 1, got {files}")
    known = [row.file for row in dataset_rows(DATASET)]
    logs = sorted(name for name in known if name.startswith(f"{split}/") and ".ascii." in name)
    logs = logs if files is None else spread(logs, files)
    wanted = [name for log in logs for name in (log, log.replace(".ascii.", ".annotation."))]
    folder = fetch(DATASET, files=wanted)
    channels = [read_channel(folder / log, folder / log.replace(".ascii.", ".annotation.")) for log in logs]
    messages = sum(len(channel.annotated) for channel in channels)
    return channels, public_use(DATASET, {split: messages}, wanted)


def spread(names: Sequence[str], count: int) -> list[str]:
    """``count`` of the names, evenly spaced, first and last included."""
    count, last = min(count, len(names)), len(names) - 1
    return [names[round(place * last / max(1, count - 1))] for place in range(count)]


def read_channel(log: Path, annotation: Path, *, first: int = FIRST) -> Channel:
    """A log with its links.

    Raises:
        MalformedRow: a log line without time and name, a link that is no pair of lines of the log, a link
            between two lines before ``first``, or a log without any link.
    """
    messages = read_log(log)
    links: dict[int, set[int]] = {}
    for number, line in read_lines(annotation):
        fields = line.split()
        pair = [int(field) for field in fields[:2] if field.isdecimal()]
        if len(pair) != 2 or fields[2:] not in ([], ["-"]) or max(pair) >= len(messages):
            raise MalformedRow(annotation, number, f"two line numbers below {len(messages)} and '-'", line)
        if max(pair) < first:
            raise MalformedRow(annotation, number, f"a link of a line from {first} on", line)
        links.setdefault(max(pair), set()).add(min(pair))
    if not links:
        raise MalformedRow(annotation, 1, "at least one link; a channel without annotations", "none")
    whole = {message: tuple(sorted(links.get(message, {message}))) for message in range(first, len(messages))}
    return Channel(log.name.partition(".ascii.")[0], tuple(messages), whole, first)


def read_log(path: Path) -> list[Message]:
    """The messages of a log.

    Raises:
        MalformedRow: a line that is neither a message nor a system line; file and line are named.
    """
    messages: list[Message] = []
    minute = 0
    for number, line in read_lines(path):
        whole = line.strip()
        if whole.startswith("==="):
            words = whole.split()
            messages.append(
                Message(words[1] if len(words) > 1 else "", whole[3:].strip(), minute, True, whole)
            )
            continue
        found = _MESSAGE.fullmatch(whole)
        if not found:
            raise MalformedRow(path, number, "'[hh:mm] <name> text' or '=== text'", line)
        minute = int(found[1]) * 60 + int(found[2])
        name = next((found[group] for group in ("actor", "name", "other") if found[group] is not None), "")
        messages.append(Message(name.strip("-") or name, (found[6] or "").strip(), minute, False, whole))
    return messages
