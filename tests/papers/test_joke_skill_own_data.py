"""A reader's own log: three small CSV files through the documented call, and every row that is refused."""

from pathlib import Path

import numpy as np
import pytest

from echobook.data.text_files import MalformedRow
from echobook.papers.joke_skill.own_data import rank_csv, read_jokes, read_log

JOKES = [
    "a,goats,What did the goat say?",
    "b,goats,A goat and a lamp.",
    "c,lamps,A lamp and a goat.",
    "d,lamps,What did the lamp say?",
]


def write(path: Path, header: str, lines: list[str]) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def jokes(folder: Path, lines: list[str] | None = None) -> Path:
    return write(folder / "jokes.csv", "joke,category,text", JOKES if lines is None else lines)


def log(folder: Path, lines: list[str]) -> Path:
    return write(folder / "log.csv", "customer,time,joke", lines)


def month(customers: int = 60) -> list[str]:
    """Customers who always ask again at once after a joke about goats, and never after one about lamps."""
    rng, lines = np.random.default_rng(0), []
    for customer in range(customers):
        time = int(rng.integers(0, 80_000)) + customer * 30_000
        for joke in rng.permutation(list("abcd")):
            lines.append((time, f"u{customer},{time},{joke}"))
            time += 100 if joke in "ab" else 9_000
    return [line for _, line in sorted(lines)]


def requests(folder: Path, lines: list[str]) -> Path:
    return write(folder / "requests.csv", "customer,time", lines)


def test_one_call_ranks_the_next_jokes(tmp_path: Path) -> None:
    lines = [*month(), "late,3000000,c"]
    asked = requests(tmp_path, ["late,3000100", "nobody,3000100"])
    found = rank_csv(jokes(tmp_path), log(tmp_path, lines), asked)
    nobody = found.ranked[found.ranked["customer"] == "nobody"]
    assert set(nobody["joke"][:2]) == {"a", "b"}
    assert nobody["basis"].unique().tolist() == ["everybody"]
    late = found.ranked[found.ranked["customer"] == "late"]
    assert late["basis"].unique().tolist() == ["history"]
    assert late["heard"].unique().tolist() == [1]
    assert "c" not in late["joke"].tolist()
    assert late["place"].tolist() == [1, 2, 3]
    assert (np.diff(late["score"]) <= 0).all()
    assert found.pooled > 0.9
    assert 0.3 < found.rate < 0.6


def test_times_may_be_dates(tmp_path: Path) -> None:
    path = log(tmp_path, ["u,2024-05-31T12:00:00,a", "u,2024-05-31T12:00:05,b"])
    assert np.diff(read_log(path, ["a", "b"])["time"]).tolist() == [5]


def test_columns_may_come_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path / "jokes.csv", "text,note,joke,category", ["A goat.,x,a,goats"])
    ids, found = read_jokes(path)
    assert (ids, found[0].text, found[0].category) == (["a"], "A goat.", "goats")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["u,1,a", "u,2,z"], r"log.csv:3: expected one of the 4 jokes, got 'z'"),
        (
            ["u,5,a", "v,1,a", "u,5,b"],
            r"log.csv:4: .*last one of customer u; the clock goes backwards, got '5'",
        ),
        (["u,5,a", "u,4,b"], r"log.csv:3: .*the clock goes backwards, got '4'"),
        (["u,5,a", "u,9,a"], r"log.csv:3: expected a joke that customer u has not heard, got 'a'"),
        (["u,5,a", "u,,b"], r"log.csv:3: expected filled fields customer, time, joke"),
        (["u,5,a", "u,noon,b"], r"log.csv:3: expected a time such as"),
        (["u,5"], r"log.csv:2: expected filled fields"),
        ([], r"log.csv:1: expected a header and tellings"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(MalformedRow, match=message):
        read_log(log(tmp_path, lines), list("abcd"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([*JOKES, "a,goats,Again."], r"jokes.csv:6: expected each joke once, got 'a'"),
        (["a,,x"], r"jokes.csv:2: expected filled fields joke, category, text"),
        (["a,clouds,x"], r"jokes.csv:2: expected a category of goats, lamps, got 'clouds'"),
    ],
)
def test_bad_jokes_are_named(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(MalformedRow, match=message):
        read_jokes(jokes(tmp_path, lines), known={"goats", "lamps"})


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["u0,1"], r"requests.csv:2: .*last joke of customer u0; the clock goes backwards"),
        (["x,9000000", "x,9000001"], r"requests.csv:1: expected one request a customer, got 'x'"),
    ],
)
def test_bad_requests_are_named(tmp_path: Path, asked: list[str], message: str) -> None:
    with pytest.raises(MalformedRow, match=message):
        rank_csv(jokes(tmp_path), log(tmp_path, month()), requests(tmp_path, asked))


def test_other_refusals(tmp_path: Path) -> None:
    asked = requests(tmp_path, ["x,9000000"])
    with pytest.raises(ValueError, match="label 'smile': expected one of reuse, back"):
        rank_csv(jokes(tmp_path), log(tmp_path, month()), asked, label="smile")
    with pytest.raises(ValueError, match="rows with a known label are too few; both outcomes needed"):
        rank_csv(jokes(tmp_path), log(tmp_path, ["u,1,a", "u,200000,b"]), asked)
    with pytest.raises(MalformedRow, match=r"log.csv:1: expected the columns .*no joke in"):
        read_log(write(tmp_path / "log.csv", "customer,time,story", []), ["a"])
