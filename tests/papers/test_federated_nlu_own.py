"""A reader's own users: a small CSV through the documented call, and every row that is refused."""

from pathlib import Path

import numpy as np
import pytest

from echobook.data.text_files import MalformedRow
from echobook.papers.federated_nlu.own_data import compare_csv, read_users, split_rows

WORDS = {"light": "lamp", "music": "song", "weather": "rain"}


def write(path: Path, lines: list[str], header: str = "user,text,label") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def many(users: int = 12) -> list[str]:
    rng = np.random.default_rng(0)
    return [
        f"u{user},{WORDS[label]} {rng.integers(9)},{label}"
        for user in range(users)
        for label in rng.choice(list(WORDS), 4 + 6 * user)
    ]


def encode(texts: list[str]) -> np.ndarray:
    return np.array([[word in text for word in WORDS.values()] for text in texts], dtype=np.float32)


def test_one_call_compares_the_rules(tmp_path: Path) -> None:
    found = compare_csv(write(tmp_path / "mine.csv", many()), m=3, rounds=6, encode=encode)
    assert found.table["rule"].tolist() == ["uniform-n", "uniform-equal", "activity-n", "activity-equal"]
    assert found.table["all"].min() > 0.9  # the word gives the label away
    assert found.users == 12
    assert 0.1 < found.heaviest < 0.3
    assert found.table["samples"].iloc[3] > found.table["samples"].iloc[0]


def test_columns_may_come_in_any_order_and_more_may_be_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ["x,1,hello,u", "y,2,bye,v"], header="label,note,text,user")
    frame = read_users(path)
    assert frame[["user", "text", "label"]].to_numpy().tolist() == [["u", "hello", "x"], ["v", "bye", "y"]]


def test_the_latest_rows_of_a_user_are_held_out(tmp_path: Path) -> None:
    lines = [f"u{user},t{day},l{user},2024-01-{day:02d}" for day in range(10, 0, -1) for user in range(2)]
    frame = read_users(write(tmp_path / "a.csv", lines, header="user,text,label,time"))
    assert frame["time"].is_monotonic_increasing
    split = split_rows(frame, seed=0)
    for _, own in frame.assign(split=split).groupby("user"):
        assert own["split"].tolist() == ["train"] * 7 + ["validation"] + ["test"] * 2


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        (
            ["u,t,l"],
            "user,text,intent",
            r"mine.csv:1: expected the columns user, text, label, got .*no label",
        ),
        (["u,t,l", "v,,l"], "user,text,label", r"mine.csv:3: expected filled fields user, text, label"),
        (["u,t,l", "v,t"], "user,text,label", r"mine.csv:3: expected filled fields"),
        (["u,t,l", "v,t,l,more"], "user,text,label", r"mine.csv:3: expected filled fields"),
        (["u,t,l,2024-01-01", "v,t,k,yesterday"], "user,text,label,time", r"mine.csv:3: expected a time"),
        (["u,t,l", "u,t,k"], "user,text,label", "at least two values of user, got 1"),
        (["u,t,l", "v,t,l"], "user,text,label", "at least two values of label, got 1"),
        ([], "", r"mine.csv:1: expected the columns"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, lines: list[str], header: str, message: str) -> None:
    with pytest.raises((MalformedRow, ValueError), match=message):
        read_users(write(tmp_path / "mine.csv", lines, header))


def test_more_users_asked_than_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="m: expected between 1 and the 12 devices"):
        compare_csv(write(tmp_path / "mine.csv", many()), m=30, rounds=2, encode=encode)


def test_an_unknown_rule(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="arm 'best'"):
        compare_csv(write(tmp_path / "mine.csv", many()), rules=["best"], encode=encode)
