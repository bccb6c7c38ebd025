"""The titles' loader on small hand-made files, and the card against the real ones."""

import csv
from pathlib import Path

import pytest

from echobook.data import reddit
from echobook.data.reddit import FILES, load_titles, read_titles
from echobook.data.registry import dataset_rows
from echobook.data.text_files import MalformedRow
from echobook.data.types import DatasetUse

CARD = Path(__file__).resolve().parents[2] / "data" / "cards" / "reddit_top2013.md"
HEADER = ("created_utc", "score", "id", "title", "selftext")


def write(path: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = HEADER) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([header, *rows])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for place, name in enumerate(FILES):
        write(tmp_path / name, [(f"{100 - place}.0", "1", f"id{place}", f"Title, {place}", "two\nlines")])
    again = [
        ("50.0", "1", "a", "Old  one", ""),
        ("200.0", "1", "b", "old one", ""),
        ("60", "1", "c", "New", ""),
    ]
    write(tmp_path / FILES[0], again)
    monkeypatch.setattr(
        reddit,
        "public_use",
        lambda name, counts, files: DatasetUse(name, "1", "0" * 64, "none", counts, "here"),
    )
    return tmp_path


def test_titles_in_order_of_time(folder: Path) -> None:
    titles = load_titles(folder)
    assert titles.frame["text"].tolist()[:3] == ["Old one", "New", "Title, 8"]
    assert titles.frame["label"].tolist()[:3] == ["Coffee", "Coffee", "nba"]
    assert titles.frame["time"].is_monotonic_increasing
    assert titles.dropped == {"same title in the same community": 1}
    assert titles.use.rows == {"titles": 10}


@pytest.mark.parametrize(("place", "value"), [(0, "soon"), (0, ""), (2, ""), (3, "  ")])
def test_a_malformed_row_is_named(tmp_path: Path, place: int, value: str) -> None:
    bad = ["3", "1", "x", "Title", ""]
    bad[place] = value
    write(tmp_path / "nba.csv", [("2", "1", "y", "Good", ""), tuple(bad)])
    with pytest.raises(MalformedRow, match=r"nba.csv:3: expected an id, a title and a time in seconds"):
        read_titles(tmp_path / "nba.csv")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    write(tmp_path / "nba.csv", [], header=("created_utc", "id"))
    with pytest.raises(MalformedRow, match=r"nba.csv:1: expected the columns created_utc, id, title"):
        read_titles(tmp_path / "nba.csv")


def test_the_card_says_what_the_registry_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECHOBOOK_ROOT", raising=False)
    text, rows = CARD.read_text(encoding="utf-8"), dataset_rows("reddit_top2013")
    assert rows[0].commit in text
    assert rows[0].repo in text
    assert {row.file for row in rows} == {*FILES, "LICENSE"}
    assert {row.redistribution for row in rows} == {"yes"}


def test_card_counts_are_those_of_the_data(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECHOBOOK_ROOT", raising=False)
    titles = load_titles(public / "reddit_top2013")
    text = CARD.read_text(encoding="utf-8")
    assert f"| titles | 9,000 | {len(titles.frame):,} |" in text
    assert f"{titles.dropped['same title in the same community']} repeats" in text
    assert sum(len(read_titles(public / "reddit_top2013" / name)) for name in FILES) == 9000
