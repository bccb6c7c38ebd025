"""A reader's own embeddings: one call from a CSV to a table of error rates by group.

    found = verify_embeddings(Path("mine.csv"))                       # all pairs of utterances
    found = verify_embeddings(Path("mine.csv"), Path("trials.csv"))   # a list of claims
    found.table       # one row a group: trials, EER, minDCF, FRR and FAR at everybody's threshold

The first CSV has a header with utterance, speaker, group, optionally split, and one more column for each
number of the embedding. With `split`, rows that say `test` are judged, and a speaker may be in one split
only. The second has the columns speaker and utterance: someone claims to be that speaker with that utterance.
A claimed speaker is the mean of their other utterances' embeddings.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from echobook.data.text_files import MalformedRow, read_lines
from echobook.metrics.verification import Trials, equal_error, min_dcf

NAMES = ("utterance", "speaker", "group")
Row = tuple[int, dict[str, str]]


@dataclass(frozen=True)
class Verified:
    """What :func:`verify_embeddings` found: the table, the threshold of all trials, gap and spread of EERs.

    `gap`: largest less smallest rate over groups; `spread`: their standard deviation (ddof 0).
    """

    table: pd.DataFrame
    threshold: float
    gap: float
    spread: float


@dataclass(frozen=True)
class Embedded:
    """Utterances of a file, their speakers and groups, embeddings of length 1."""

    names: pd.DataFrame
    vectors: Float[np.ndarray, "U D"]


def read_rows(path: Path, wanted: tuple[str, ...]) -> list[Row]:
    """Line and fields of each row. Raises MalformedRow for a missing column and a row of another length."""
    reader = csv.reader((line + "\n" for _, line in read_lines(path)), strict=True)
    header = [name.strip() for name in next(reader, [])]
    if absent := [name for name in wanted if name not in header]:
        raise MalformedRow(path, 1, f"the columns {', '.join(wanted)}", f"no {absent[0]} in {header}")
    rows = []
    for fields in reader:
        row = dict(zip(header, (field.strip() for field in fields), strict=False))
        if len(fields) != len(header) or not all(row[name] for name in wanted):
            raise MalformedRow(
                path, reader.line_num, f"{len(header)} fields, {', '.join(wanted)} filled", fields
            )
        rows.append((reader.line_num, row))
    return rows


def read_embeddings(path: Path) -> Embedded:
    """The judged rows of a file.

    Raises:
        MalformedRow: a field that is no number, NaN or infinite, an embedding of zeros, an utterance named
            twice, a speaker in two splits or two groups; file and line are named.
        ValueError: fewer than two speakers to judge, or no embedding columns.
    """
    rows = read_rows(path, NAMES)
    if not rows or not (columns := [name for name in rows[0][1] if name not in (*NAMES, "split")]):
        raise ValueError(f"{path}: expected rows with columns for the numbers of the embedding, found none")
    _check_one(path, rows, "split", "speaker {} in one split")
    _check_one(path, rows, "group", "speaker {} in one group")
    judged = [(line, row) for line, row in rows if row.get("split", "test") == "test"]
    vectors = np.array([_vector(path, line, row, columns) for line, row in judged])
    names = pd.DataFrame([{name: row[name] for name in NAMES} | {"line": line} for line, row in judged])
    if not judged or names.speaker.nunique() < 2:
        raise ValueError(
            f"{path}: expected at least two speakers to judge, found {len(judged)} rows of fewer"
        )
    twice = names[names.utterance.duplicated()]
    if len(twice):
        raise MalformedRow(path, int(twice.iloc[0].line), "each utterance once", twice.iloc[0].utterance)
    return Embedded(names, vectors)


def _check_one(path: Path, rows: list[Row], column: str, expected: str) -> None:
    """Refuse a speaker with two values of a column, if the file has the column."""
    seen: dict[str, str] = {}
    for line, row in rows:
        value = row.get(column)
        if value is not None and seen.setdefault(row["speaker"], value) != value:
            first = seen[row["speaker"]]
            raise MalformedRow(path, line, expected.format(row["speaker"]), f"{value} after {first}")


def _vector(path: Path, line: int, row: dict[str, str], columns: list[str]) -> Float[np.ndarray, "D"]:
    try:
        vector = np.array([float(row[name]) for name in columns])
    except ValueError as error:
        raise MalformedRow(path, line, "numbers in the embedding's columns", str(error)) from error
    if not np.isfinite(vector).all():
        bad = columns[int(np.flatnonzero(~np.isfinite(vector))[0])]
        raise MalformedRow(path, line, f"a finite number in column {bad}", row[bad])
    length = float(np.linalg.norm(vector))
    if length == 0:
        raise MalformedRow(path, line, "an embedding that is not zero", "zeros")
    return vector / length


def read_claims(path: Path, known: Embedded) -> list[tuple[str, str, int]]:
    """Claimed speaker, utterance and line of each trial.

    Raises MalformedRow for a speaker or utterance that the embeddings lack; file and line are named.
    """
    speakers, utterances = set(known.names.speaker), set(known.names.utterance)
    found = []
    for line, row in read_rows(path, ("speaker", "utterance")):
        for name, among in (("speaker", speakers), ("utterance", utterances)):
            if row[name] not in among:
                raise MalformedRow(path, line, f"a {name} with a judged embedding", row[name])
        found.append((row["speaker"], row["utterance"], line))
    return found


def _claimed(known: Embedded, claims: list[tuple[str, str, int]], path: Path) -> pd.DataFrame:
    """Trials of a list: score, whether genuine, and the group (none where two groups meet)."""
    place = {name: i for i, name in enumerate(known.names.utterance)}
    speaker = known.names.speaker.to_numpy(dtype=str)
    group = dict(zip(known.names.speaker, known.names.group, strict=True))
    rows = []
    for claimed, utterance, line in claims:
        at = place[utterance]
        others = (speaker == claimed) & (np.arange(len(speaker)) != at)
        model = known.vectors[others].sum(axis=0)
        if not np.linalg.norm(model) > 0:
            raise MalformedRow(path, line, f"another utterance of speaker {claimed} to compare with", "none")
        score = float(model @ known.vectors[at] / np.linalg.norm(model))
        shared = group[claimed] if group[claimed] == group[speaker[at]] else ""
        rows.append({"score": score, "genuine": bool(speaker[at] == claimed), "group": shared})
    return pd.DataFrame(rows)


def _all_pairs(known: Embedded) -> pd.DataFrame:
    first, second = np.triu_indices(len(known.vectors), 1)
    scores = np.einsum("nd,nd->n", known.vectors[first], known.vectors[second])
    speaker, group = (known.names[name].to_numpy(dtype=str) for name in ("speaker", "group"))
    shared = np.where(group[first] == group[second], group[first], "")
    return pd.DataFrame({"score": scores, "genuine": speaker[first] == speaker[second], "group": shared})


def _trials(path: Path, name: str, frame: pd.DataFrame) -> Trials:
    try:
        return Trials(frame.score.to_numpy(dtype=float), _labels(frame))
    except ValueError as error:
        raise ValueError(f"{path}: group {name!r}: {error}") from error


def _labels(frame: pd.DataFrame) -> Bool[np.ndarray, "N"]:
    return frame.genuine.to_numpy(dtype=bool)


def verify_embeddings(path: Path, claims: Path | None = None) -> Verified:
    """Error rates of a reader's own embeddings, for all and by group (trials within the group).

    Raises:
        MalformedRow: as :func:`read_embeddings` and :func:`read_claims`.
        ValueError: constant scores, or a group without genuine or without impostor trials; file and group
            are named.
    """
    known = read_embeddings(path)
    frame = _all_pairs(known) if claims is None else _claimed(known, read_claims(claims, known), claims)
    source = claims or path
    everybody = _trials(source, "all", frame)
    threshold = equal_error(everybody.curve()).threshold
    rows = []
    for name in ["all", *sorted(set(known.names.group))]:
        trials = everybody if name == "all" else _trials(source, name, frame[frame.group == name])
        curve = trials.curve()
        frr, far = curve.at(threshold)
        genuine = int(np.sum(trials.genuine))
        counts = {"genuine": genuine, "impostor": len(trials.order) - genuine}
        rates = {"EER": equal_error(curve).rate, "minDCF": min_dcf(curve), "FRR": frr, "FAR": far}
        rows.append({"group": name, **counts, **rates})
    by_group = [row["EER"] for row in rows[1:]]
    return Verified(pd.DataFrame(rows), threshold, float(np.ptp(by_group)), float(np.std(by_group)))
