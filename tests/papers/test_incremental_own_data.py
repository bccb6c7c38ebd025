"""A reader's own users: a small CSV through the documented call, and every row that is refused."""

from pathlib import Path

import numpy as np
import pytest

from echobook.data.text_files import MalformedRow
from echobook.papers.incremental_user_embedding.experiment import Sizes
from echobook.papers.incremental_user_embedding.own_data import predict_csv, read_interactions
from echobook.papers.incremental_user_embedding.training import Plan

HEADER = "user,time,text,label"
SMALL = {"sizes": Sizes(16, 2, 3, 1, 2), "plan": Plan(epochs=6, items=64)}


def write(path: Path, lines: list[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def many(rows: int = 200) -> list[str]:
    """Eight users who always say the same label; the text says nothing."""
    rng = np.random.default_rng(0)
    return [
        f"u{user},2024-01-{1 + row // 24:02d}T{row % 24:02d}:00,word {rng.integers(5)},l{user % 2}"
        for row, user in enumerate(rng.integers(0, 8, rows))
    ]


def encode(texts: list[str]) -> np.ndarray:
    return np.array([[text.endswith(str(n)) for n in range(5)] for text in texts], dtype=np.float32)


def test_one_call_predicts_the_latest_rows(tmp_path: Path) -> None:
    found = predict_csv(write(tmp_path / "mine.csv", many()), encode=encode, **SMALL)
    assert found.table["line"].tolist() == list(range(162, 202))
    assert list(found.table.columns) == [
        "line", "user", "time", "text", "label", "predicted", "text_only", "before", "known",
    ]  # fmt: skip
    assert found.labels == ("l0", "l1")
    assert found.accuracy["incremental"] > 0.9
    assert found.accuracy["text"] < 0.8
    assert found.accuracy["incremental"] == (found.table["predicted"] == found.table["label"]).mean()


def test_newcomers_unseen_labels_and_missing_labels_are_defined(tmp_path: Path) -> None:
    lines = many()
    lines[170] = "newcomer,2024-01-08T02:00,word 1,l1"
    lines[171] = "newcomer,2024-01-08T03:00,word 1,never-seen"
    lines[172] = "newcomer,2024-01-08T04:00,word 1,"
    lines[10] = "u1,2024-01-01T10:00,word 1,"
    found = predict_csv(write(tmp_path / "mine.csv", lines), encode=encode, **SMALL)
    new = found.table[found.table["user"] == "newcomer"]
    assert new["before"].tolist() == [0, 1, 2]
    assert new["known"].tolist() == [True, False, False]
    assert new["predicted"].isin(["l0", "l1"]).all()
    scored = found.table[found.table["label"] != ""]
    assert found.accuracy["text"] == (scored["text_only"] == scored["label"]).mean()


@pytest.mark.parametrize(
    ("place", "line", "message"),
    [
        (30, "u1,2023-12-01T00:00,word,l0", r"csv:32: expected a time not before the previous row's"),
        (30, "u1,yesterday,word,l0", r"csv:32: expected a time such as"),
        (30, "u1,2024-01-02T06:00,,l0", r"csv:32: expected fields user, time, text, label"),
        (30, ",2024-01-02T06:00,word,l0", r"csv:32: expected fields"),
        (30, "u1,2024-01-02T06:00,word", r"csv:32: expected fields"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, place: int, line: str, message: str) -> None:
    lines = many()
    lines[place] = line
    with pytest.raises(MalformedRow, match=message):
        read_interactions(write(tmp_path / "mine.csv", lines))


def test_files_that_cannot_be_learned_from(tmp_path: Path) -> None:
    with pytest.raises(
        MalformedRow, match=r"csv:1: expected the columns user, time, text, label, got .no text"
    ):
        read_interactions(write(tmp_path / "a.csv", many(), header="user,time,words,label"))
    with pytest.raises(ValueError, match="at least 20 rows to learn from, got 3"):
        read_interactions(write(tmp_path / "b.csv", many()[:3]))
    alike = [line.rsplit(",", 1)[0] + ",same" for line in many()]
    with pytest.raises(ValueError, match="at least two labels in the first 64% of rows"):
        predict_csv(write(tmp_path / "c.csv", alike), encode=encode, **SMALL)
