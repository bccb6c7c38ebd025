"""Readers of the text formats in which intent corpora are published.

Every reader yields typed utterances and refuses a malformed row with the file and its line.
"""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from echobook.data.unicode import nfc


class Utterance(NamedTuple):
    """One labelled utterance as published; ``label`` is the source's own spelling."""

    text: str
    label: str


class MalformedRow(ValueError):
    """A row that does not have the documented form; the message starts with ``file:line``."""

    def __init__(self, path: Path, line: int, expected: str, actual: object) -> None:
        shown = repr(actual)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        super().__init__(f"{path}:{line}: expected {expected}, got {shown}")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a UTF-8 file with their numbers from 1, composed (NFC); other bytes are refused."""
    with path.open("rb") as handle:
        for number, raw in enumerate(handle, start=1):
            try:
                yield number, nfc(raw.decode("utf-8").rstrip("\r\n"))
            except UnicodeDecodeError as error:
                raise MalformedRow(path, number, "UTF-8 text", raw) from error


def read_slot_tagged(path: Path) -> list[Utterance]:
    """Lines ``word:TAG word:TAG <=> label``; the tags are dropped, the words joined by one space.

    A tag without a word (SNIPS has some, left by characters its publisher removed) adds nothing to the text.
    """
    utterances = []
    for number, line in read_lines(path):
        words, separator, label = line.rpartition(" <=> ")
        pairs = [pair.rpartition(":") for pair in words.split(" ")]
        if not separator or not label.strip() or not all(colon and tag for _, colon, tag in pairs):
            raise MalformedRow(path, number, "'word:TAG ... <=> label'", line)
        utterances.append(Utterance(" ".join(word for word, _, _ in pairs if word), label.strip()))
    return utterances


def read_tsv(path: Path) -> list[Utterance]:
    """Tab-separated ``text``, ``label`` with that header; quotes doubled inside quoted fields."""
    reader = csv.reader((line + "\n" for _, line in read_lines(path)), delimiter="\t", strict=True)
    try:
        records = [(reader.line_num, record) for record in reader]
    except csv.Error as error:
        raise MalformedRow(path, reader.line_num, "a tab-separated row", str(error)) from error
    if not records or records[0][1] != ["text", "label"]:
        raise MalformedRow(path, 1, "the header 'text<TAB>label'", records[0][1] if records else "")
    for number, record in records[1:]:
        if len(record) != 2 or not all(field.strip() for field in record):
            raise MalformedRow(path, number, "two filled fields 'text<TAB>label'", record)
    return [Utterance(*record) for _, record in records[1:]]


def read_columns(
    path: Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV with a header: number of the row's last line, and the named fields, stripped.

    Further columns may be there; empty lines are skipped, a byte order mark is dropped. ``optional`` columns
    are read where the header has them, and then have to be filled too.

    Raises MalformedRow: an absent or doubled column, a row of another length, an empty field, a quote that
    is never closed, bytes that are not UTF-8.
    """
    lines = ((line.removeprefix("\ufeff") if n == 1 else line) + "\n" for n, line in read_lines(path))
    reader, before = csv.reader(lines, strict=True), 0
    try:
        header = [name.strip() for name in next(reader, [])]
        wanted = _wanted(path, header, columns, optional)
        for fields in reader:
            row = dict(zip(header, (field.strip() for field in fields), strict=False))
            if fields and (len(fields) != len(header) or not all(row[name] for name in wanted)):
                raise MalformedRow(path, reader.line_num, f"filled fields {', '.join(wanted)}", fields)
            if fields:
                yield reader.line_num, {name: row[name] for name in wanted}
            before = reader.line_num
    except csv.Error as error:
        raise MalformedRow(path, before + 1, "a row of a CSV with quotes in pairs", str(error)) from error


def _wanted(path: Path, header: list[str], columns: Sequence[str], optional: Sequence[str]) -> list[str]:
    asked = f"the columns {', '.join(columns)}"
    if absent := [name for name in columns if name not in header]:
        raise MalformedRow(path, 1, asked, f"no {absent[0]} in {header}")
    wanted = [*columns, *(name for name in optional if name in header)]
    if doubled := [name for name in wanted if header.count(name) > 1]:
        raise MalformedRow(path, 1, f"{asked} once", f"{doubled[0]} twice in {header}")
    return wanted


def read_json(path: Path) -> Any:
    """A JSON document; a syntax error names file and line."""
    content = path.read_bytes()
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise MalformedRow(
            path, error.lineno, f"JSON ({error.msg})", content[error.pos : error.pos + 40]
        ) from error
    except UnicodeDecodeError as error:
        raise MalformedRow(
            path, content[: error.start].count(b"\n") + 1, "UTF-8 text", "other bytes"
        ) from error


def read_json_pairs(path: Path) -> dict[str, list[Utterance]]:
    """``{split: [[text, label], ...]}`` (the form of CLINC150)."""
    document = read_json(path)
    if not isinstance(document, dict):
        raise MalformedRow(path, 1, "an object of splits", document)
    result: dict[str, list[Utterance]] = {}
    for split, items in document.items():
        if not isinstance(items, list):
            raise MalformedRow(path, 1, f"a list under {split!r}", items)
        for index, item in enumerate(items):
            if not (isinstance(item, list) and len(item) == 2 and all(map(_filled, item))):
                raise MalformedRow(path, item_line(path, split, index), "[text, label]", item)
        result[split] = [Utterance(*map(nfc, item)) for item in items]
    return result


def read_rasa(path: Path) -> list[Utterance]:
    """Rasa NLU training data: ``rasa_nlu_data.common_examples[].{text, intent}``."""
    document = read_json(path)
    try:
        examples = document["rasa_nlu_data"]["common_examples"]
    except (KeyError, TypeError) as error:
        raise MalformedRow(path, 1, "rasa_nlu_data.common_examples", type(document).__name__) from error
    for index, item in enumerate(examples):
        if not (isinstance(item, dict) and _filled(item.get("text")) and _filled(item.get("intent"))):
            raise MalformedRow(
                path, item_line(path, "common_examples", index), "filled text and intent", item
            )
    return [Utterance(nfc(item["text"]), nfc(item["intent"])) for item in examples]


def item_line(path: Path, key: str, index: int) -> int:
    """Line on which item ``index`` of the list under ``key`` begins; used for error messages only."""
    text = path.read_text(encoding="utf-8")
    start = re.search(rf'"{re.escape(key)}"\s*:\s*\[', text)
    if start is None:
        return 1
    position, decoder = start.end(), json.JSONDecoder()
    for _ in range(index):
        position = _skip(text, position)
        _, position = decoder.raw_decode(text, position)
    return text.count("\n", 0, _skip(text, position)) + 1


def _skip(text: str, position: int) -> int:
    while text[position] in " \t\r\n,":
        position += 1
    return position


def _filled(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
