"""A reader's own users: one call from a CSV of user, time, text and label to predictions of the latest rows.

    found = predict_csv(Path("mine.csv"))
    found.table          # one row a prediction: line, user, time, text, label, predicted, text_only, before
    found.accuracy       # of rows whose label is known, with and without the users' past

The CSV has a header with these four columns; rows are in order of time. The first part trains, the next stops
the training, the rest is predicted in turn, each row after all earlier ones were seen. What is defined:

    a user without earlier rows     predicted from the text alone; ``before`` is 0
    a label unseen in training      cannot be predicted and counts as wrong (``known`` is false); in histories
                                    it is a label without a name
    no label                        predicted, not scored; in histories a label without a name
    a row out of order in time      refused, with its line
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from echobook.data.text_files import MalformedRow, read_lines
from echobook.data.types import DatasetUse, rows_digest
from echobook.papers.incremental_user_embedding.experiment import Sizes, build
from echobook.papers.incremental_user_embedding.material import DEV, TRAIN, Pool, Users, padded_users
from echobook.papers.incremental_user_embedding.training import Plan, fit, log_probabilities

COLUMNS = ("user", "time", "text", "label")
FEWEST = 20  # rows


@dataclass(frozen=True)
class Predicted:
    """What :func:`predict_csv` found.

    Attributes:
        table: line, user, time, text, label, predicted, text_only, before (earlier rows of the user), known.
        accuracy: of the predicted rows that have a label: ``incremental`` and ``text``.
        labels: that can be predicted.
    """

    table: pd.DataFrame
    accuracy: dict[str, float]
    labels: tuple[str, ...]


def read_interactions(path: Path) -> pd.DataFrame:
    """Rows of a CSV with their line numbers.

    Raises:
        MalformedRow: a missing column, a row that is too short, without user or text, with a time that is
            none, or earlier than the row before it; file and line are named.
        ValueError: fewer than `FEWEST` rows.
    """
    reader = csv.reader((line + "\n" for _, line in read_lines(path)), strict=True)
    header = [name.strip() for name in next(reader, [])]
    if absent := [name for name in COLUMNS if name not in header]:
        raise MalformedRow(path, 1, f"the columns {', '.join(COLUMNS)}", f"no {absent[0]} in {header}")
    rows = [_row(path, reader.line_num, header, fields) for fields in reader]
    if len(rows) < FEWEST:
        raise ValueError(f"{path}: expected at least {FEWEST} rows to learn from, got {len(rows)}")
    frame = pd.DataFrame(rows)
    times = pd.to_datetime(frame["time"], errors="coerce", format="ISO8601", utc=True)
    if times.isna().any():
        bad = frame[times.isna()].iloc[0]
        raise MalformedRow(path, int(bad["line"]), "a time such as 2024-05-31T12:00", bad["time"])
    back = np.flatnonzero((times.diff() < pd.Timedelta(0)).to_numpy())
    if len(back):
        row, before = frame.iloc[int(back[0])], frame["time"][int(back[0]) - 1]
        expected = f"a time not before the previous row's ({before}); sort the file by time"
        raise MalformedRow(path, int(row["line"]), expected, row["time"])
    return frame


def _row(path: Path, line: int, header: list[str], fields: list[str]) -> dict[str, object]:
    row = dict(zip(header, (field.strip() for field in fields), strict=False))
    if len(fields) != len(header) or not all(row[name] for name in ("user", "time", "text")):
        raise MalformedRow(path, line, f"fields {', '.join(COLUMNS)}; only label may be empty", fields)
    return {name: row[name] for name in COLUMNS} | {"line": line}


def own_users(
    path: Path, frame: pd.DataFrame, vectors: np.ndarray
) -> tuple[Users, tuple[str, ...], np.ndarray]:
    """Histories, the labels that training has, and the split of each row.

    Raises ValueError when training has fewer than two labels.
    """
    place = np.arange(len(frame)) / len(frame)
    split = np.where(place < TRAIN, 0, np.where(place < TRAIN + DEV, 1, 2))
    names = sorted(set(frame["label"][split == 0]) - {""})
    if len(names) < 2:
        raise ValueError(
            f"{path}: expected at least two labels in the first {TRAIN:.0%} of rows, got {names}"
        )
    number = {name: place for place, name in enumerate(names)}
    labels = np.array([number.get(label, len(names)) for label in frame["label"]], dtype=np.int64)
    code = np.where((labels == len(names)) & (split < 2), -1, split).astype(np.int64)
    digest = rows_digest(frame[list(COLUMNS)].to_numpy(dtype=str).tolist())
    use = DatasetUse(path.stem, "own file", digest, "the reader's own", {"rows": len(frame)}, path.name)
    users = np.unique(frame["user"].to_numpy(dtype=str), return_inverse=True)[1]
    rows = [np.flatnonzero(users == user) for user in range(users.max() + 1)]
    frozen = np.array([int((split[own] == 0).sum()) for own in rows])
    pool = Pool(frame, vectors.astype(np.float32), labels, use, len(names))
    return padded_users(pool, rows, code, frozen), tuple(names), split


def predict_csv(
    path: Path,
    *,
    encode: Callable[[list[str]], np.ndarray] | None = None,
    plan: Plan | None = None,
    sizes: Sizes | None = None,
    seed: int = 0,
) -> Predicted:
    """Train on the first rows of a CSV and predict the last fifth, one after the other.

    Args:
        path: the CSV, see the module's text.
        encode: texts to vectors; by default the bundled sentence encoder.
        plan, sizes: of training and model; by default those of the chapter.

    Raises:
        MalformedRow, ValueError: as :func:`read_interactions` and :func:`own_users`.
    """
    frame = read_interactions(path)
    if encode is None:
        from echobook.text.encoder import SentenceEncoder

        encode = SentenceEncoder().encode
    users, names, split = own_users(path, frame, np.asarray(encode(frame["text"].tolist())))
    found = {
        name: _answers(name, users, plan or Plan(), sizes or Sizes(), seed)
        for name in ("incremental", "text")
    }
    late = np.flatnonzero(split == 2)
    before = frame.groupby("user").cumcount().to_numpy()
    table = frame.iloc[late][["line", *COLUMNS]].reset_index(drop=True)
    labelled = (table["label"] != "").to_numpy()
    columns = {"incremental": "predicted", "text": "text_only"}
    for name, answers in found.items():
        table[columns[name]] = [names[answer] for answer in answers[late]]
    table = table.assign(before=before[late], known=table["label"].isin(names))
    accuracy = {
        name: float((table[column] == table["label"])[labelled].mean()) for name, column in columns.items()
    }
    return Predicted(table, accuracy, names)


def _answers(name: str, users: Users, plan: Plan, sizes: Sizes, seed: int) -> np.ndarray:
    """Predicted class of each row of the file (0 where none was asked)."""
    model = build(name, features=users.features, classes=users.classes, sizes=sizes, seed=seed)
    fit(model, users, plan, seed=seed)
    answers = log_probabilities(model, users, "test").argmax(dim=-1)
    real = users.row >= 0
    found = np.zeros(int(users.row.max()) + 1, dtype=np.int64)
    found[users.row[real]] = answers.numpy()[real]
    return found
