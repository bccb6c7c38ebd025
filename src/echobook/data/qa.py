"""Question-answer candidates in one form: question id, question, candidate, label, split.

Two public sets and any table of the reader's own. Rows stay as published (also repeated ones, so that
counts match the literature), apart from what is said per set; white space is collapsed and text composed
(Unicode's NFC, so that questions join), nothing else changes:

- WikiQA (Yang et al. 2015): tab-separated, ids of its own.
- TREC-QA (Wang et al. 2007), the filtered files of the lexical-decomposition repository: JSON lines; question
  ids are ``<split>-<line>``. ``train-all`` is labelled automatically: candidates that are labelled both ways
  for the same question are left out there and counted.

Every malformed row is refused with file and line.
"""

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from echobook.data.fetch import fetch
from echobook.data.registry import public_use
from echobook.data.text_files import MalformedRow
from echobook.data.types import DatasetUse
from echobook.data.unicode import nfc

COLUMNS = ("question_id", "question", "candidate", "label", "split")
WIKIQA_HEADER = ["QuestionID", "Question", "DocumentID", "DocumentTitle", "SentenceID", "Sentence", "Label"]
WIKIQA_FILES = {
    name: f"WikiQA-{part}.tsv.gz"
    for name, part in (("train", "train"), ("validation", "dev"), ("test", "test"))
}
TRECQA_FILES = {
    "train": "train-filtered.jsonl",
    "train-all": "train-all-filtered.jsonl.gz",
    "validation": "dev-filtered.jsonl",
    "test": "test-filtered.jsonl",
}
Row = tuple[int, str, str, str, int]  # line, question id, question, candidate, label


@dataclass(frozen=True)
class QACorpus:
    """Candidates with labels.

    Attributes:
        name: data set name.
        frame: columns :data:`COLUMNS`; label 0 or 1, the others text; index 0..N-1.
        use: what was used, for the results file.
        dropped: rows left out, by reason.
    """

    name: str
    frame: pd.DataFrame
    use: DatasetUse
    dropped: Mapping[str, int] = field(default_factory=dict)

    def rows(self, split: str) -> pd.DataFrame:
        """Rows of one split in file order, index from 0.

        Raises:
            ValueError: a split that is not there.
        """
        present = list(dict.fromkeys(self.frame["split"]))
        if split not in present:
            raise ValueError(f"{self.name} has no split {split!r}; it has {present}")
        return self.frame[self.frame["split"] == split].reset_index(drop=True)


def load_wikiqa() -> QACorpus:
    """WikiQA with splits train, validation, test (20360, 2733 and 6165 rows).

    Raises:
        MalformedRow: see :func:`check_rows`.
        echobook.data.fetch.FetchError: files missing or not the registered ones.
    """
    files = tuple(WIKIQA_FILES.values())
    folder = fetch("wikiqa", files=files)
    parts = {split: read_wikiqa(folder / file) for split, file in WIKIQA_FILES.items()}
    return _corpus("wikiqa", parts, {}, files)


def load_trecqa(*, train: Literal["train", "train-all"] = "train") -> QACorpus:
    """TREC-QA with splits train, validation (69 questions), test (68 questions).

    Args:
        train: ``train`` is labelled by hand (89 questions), ``train-all`` by patterns (1161 questions).

    Raises:
        ValueError, MalformedRow, echobook.data.fetch.FetchError: unknown train set, bad row, bad file.
    """
    if train not in ("train", "train-all"):
        raise ValueError(f"train: expected 'train' or 'train-all', got {train!r}")
    named = {"train": train, "validation": "validation", "test": "test"}
    files = tuple(TRECQA_FILES[part] for part in named.values())
    folder = fetch("trecqa", files=files)
    parts: dict[str, list[Row]] = {}
    dropped: dict[str, int] = {}
    for split, part in named.items():
        path = folder / TRECQA_FILES[part]
        rows = read_trecqa(path, prefix=part, conflicts=part == "train-all")
        both = _conflicting(rows)
        parts[split] = [row for row in rows if row[1:4] not in both]
        if gone := len(rows) - len(parts[split]):
            dropped["labelled both ways"] = gone
    return _corpus("trecqa", parts, dropped, files)


def _corpus(
    name: str, parts: Mapping[str, list[Row]], dropped: dict[str, int], files: Sequence[str]
) -> QACorpus:
    frame = to_frame(parts)
    counts = {split: len(rows) for split, rows in parts.items()}
    return QACorpus(name, frame, public_use(name, counts, files), dropped)


def to_frame(parts: Mapping[str, Sequence[Row]]) -> pd.DataFrame:
    """Typed frame of the rows of several splits."""
    records = [(*row[1:], split) for split, rows in parts.items() for row in rows]
    return pd.DataFrame(records, columns=list(COLUMNS)).astype({"label": np.int64})


def read_wikiqa(path: Path) -> list[Row]:
    """Rows of one WikiQA file (``.tsv`` or ``.tsv.gz``); see :func:`check_rows` for what is refused."""
    lines = list(numbered_lines(path))
    if not lines or lines[0][1].split("\t") != WIKIQA_HEADER:
        raise MalformedRow(path, 1, "the header " + "<TAB>".join(WIKIQA_HEADER), lines[0][1] if lines else "")
    rows = []
    for number, line in lines[1:]:
        fields = line.split("\t")
        if len(fields) != len(WIKIQA_HEADER):
            raise MalformedRow(path, number, f"{len(WIKIQA_HEADER)} fields between tabs", line)
        rows.append((number, fields[0], fields[1], fields[5], _label(path, number, fields[6])))
    return check_rows(path, rows)


def read_trecqa(path: Path, *, prefix: str, conflicts: bool = False) -> list[Row]:
    """Rows of one file of JSON lines ``{"question": ..., "candidates": [{"sentence", "label"}]}``.

    Args:
        path: ``.jsonl`` or ``.jsonl.gz``.
        prefix: question ids are ``<prefix>-<line>``.
        conflicts: let a candidate through that has both labels for one question.
    """
    rows: list[Row] = []
    for number, line in numbered_lines(path):
        try:
            record = json.loads(line)
            question, candidates = record["question"], record["candidates"]
            pairs = [(item["sentence"], str(item["label"])) for item in candidates]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise MalformedRow(path, number, "an object with question and candidates", line) from error
        if not pairs:
            raise MalformedRow(path, number, "at least one candidate for the question", question)
        rows += [(number, f"{prefix}-{number}", question, text, _label(path, number, y)) for text, y in pairs]
    return check_rows(path, rows, conflicts=conflicts)


def read_candidates(path: Path) -> pd.DataFrame:
    """A reader's own CSV with the columns question, candidate, label (0 or 1), and optionally question_id.

    Without ids, equal questions (white space collapsed) are one question. The result has :data:`COLUMNS`,
    split ``own``.

    Raises:
        MalformedRow: a missing column, no row, and what :func:`check_rows` refuses.
    """
    text = "\n".join(line for _, line in numbered_lines(path))
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    wanted = {"question", "candidate", "label"}
    if missing := sorted(wanted - set(reader.fieldnames or [])):
        raise MalformedRow(path, 1, f"a column {missing[0]!r}", reader.fieldnames)
    rows: list[Row] = []
    for number, record in _records(path, reader):
        values = {name: record.get(name) or "" for name in (*wanted, "question_id")}
        id_ = nfc(values["question_id"].strip()) or _collapse(values["question"])
        label = _label(path, number, values["label"])
        rows.append((number, id_, values["question"], values["candidate"], label))
    if not rows:
        raise MalformedRow(path, 2, "at least one row", "end of file")
    return to_frame({"own": check_rows(path, rows)})


def _records(path: Path, reader: Any) -> Iterator[tuple[int, dict[str, str]]]:
    """Records of a `csv.DictReader` with the line each ends on; a broken quote is refused."""
    try:
        for record in reader:
            yield reader.line_num, record
    except csv.Error as error:
        raise MalformedRow(
            path, reader.line_num + 1, "a row of comma-separated fields", str(error)
        ) from error


def check_rows(path: Path, rows: Sequence[Row], *, conflicts: bool = False) -> list[Row]:
    """Collapse white space and refuse what cannot be meant.

    Raises:
        MalformedRow: an empty id, question or candidate; an id with two questions; a candidate that has both
            labels for one question (unless ``conflicts``).
    """
    asked: dict[str, str] = {}
    labels: dict[tuple[str, str], int] = {}
    checked: list[Row] = []
    for number, id_, question, candidate, label in rows:
        question, candidate = _collapse(question), _collapse(candidate)
        for name, value in (("question id", id_), ("question", question), ("candidate sentence", candidate)):
            if not value:
                raise MalformedRow(path, number, f"a {name} that is not empty", value)
        if asked.setdefault(id_, question) != question:
            raise MalformedRow(path, number, f"id {id_!r} to stay the question {asked[id_]!r}", question)
        if labels.setdefault((id_, candidate), label) != label and not conflicts:
            raise MalformedRow(path, number, f"one label for each candidate of {id_!r}, not both", candidate)
        checked.append((number, id_, question, candidate, label))
    return checked


def _conflicting(rows: Sequence[Row]) -> set[tuple[str, str, str]]:
    seen = {(row[1:4], row[4]) for row in rows}
    return {key for key, label in seen if (key, 1 - label) in seen}


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of a UTF-8 file, ``.gz`` or plain; other bytes are refused with their line."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as handle:
        for number, raw in enumerate(handle, start=1):
            try:
                yield number, nfc(raw.decode("utf-8").rstrip("\r\n"))
            except UnicodeDecodeError as error:
                raise MalformedRow(path, number, "UTF-8 text", raw) from error


def _label(path: Path, number: int, value: str) -> int:
    if value.strip() not in ("0", "1"):
        raise MalformedRow(path, number, "a label 0 or 1", value)
    return int(value)


def _collapse(text: str) -> str:
    return re.sub(r"\s+", " ", nfc(text)).strip()
