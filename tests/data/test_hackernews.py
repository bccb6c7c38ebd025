"""The posts' loader on small hand-made files, and the card against the real ones."""

import csv
from pathlib import Path

import pandas as pd
import pytest

from echobook.data import hackernews
from echobook.data.hackernews import FILES, HEADER, load_posts, read_posts
from echobook.data.text_files import MalformedRow
from echobook.data.types import DatasetUse

CARD = Path(__file__).resolve().parents[2] / "data" / "cards" / "hackernews.md"
ROWS = [
    ("1", "A  title", "http://www.Example.com/a?b=1", "3", "1", "ann", "8/4/2016 11:52"),
    ("2", "Ask: how?", "", "3", "1", "ann", "8/4/2016 11:53"),
    ("3", "Other, one", "https://other.org:80/x", "3", "1", "bob", "1/26/2016 19:30"),
    ("4", "a title", "http://example.com/again", "3", "1", "ann", "9/4/2016 1:05"),
    ("5", "A title", "http://example.com/by-bob", "3", "1", "bob", "9/5/2016 1:05"),
    ("6", "Rare", "http://rare.net/", "3", "1", "cy", "9/5/2016 1:05"),
]


def write(path: Path, rows: list[tuple[str, ...]], extra: int = 0) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(HEADER + ("",) * extra)
        writer.writerows(row + ("",) * extra for row in rows)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path / FILES[0], ROWS[:4], extra=7)
    write(tmp_path / FILES[1], ROWS[2:])  # two posts are in both files
    monkeypatch.setattr(
        hackernews,
        "public_use",
        lambda name, counts, files: DatasetUse(name, "1", "0" * 64, "none", counts, "here"),
    )
    return tmp_path


def test_posts_of_the_most_linked_sites(folder: Path) -> None:
    posts = load_posts(folder, sites=2)  # example.com, then other.org before rare.net by name
    assert posts.frame["label"].tolist() == ["other.org", "example.com", "example.com"]
    assert posts.frame["user"].tolist() == ["bob", "ann", "bob"]
    assert posts.frame["text"].tolist() == ["Other, one", "A title", "A title"]
    assert posts.frame["time"].is_monotonic_increasing
    assert posts.frame["time"][1] == pd.Timestamp(2016, 8, 4, 11, 52)
    assert posts.dropped == {"without a link": 1, "another site": 1, "same title by the same author": 1}
    assert posts.use.rows == {"posts": 3}


def test_more_sites_than_there_are(folder: Path) -> None:
    with pytest.raises(ValueError, match="sites: 9 asked, but the posts link to 3"):
        load_posts(folder, sites=9)


@pytest.mark.parametrize(("place", "value"), [(0, "x"), (1, " "), (5, ""), (6, "2016-08-04"), (6, "")])
def test_a_malformed_field_is_named(tmp_path: Path, place: int, value: str) -> None:
    bad = list(ROWS[1])
    bad[place] = value
    write(tmp_path / "posts.csv", [ROWS[0], tuple(bad)])
    with pytest.raises(MalformedRow, match=r"posts.csv:3: expected an id, a title, an author and a time"):
        read_posts(tmp_path / "posts.csv")


def test_a_short_row_and_a_wrong_header_are_named(tmp_path: Path) -> None:
    write(tmp_path / "short.csv", [ROWS[0], ROWS[1][:4]])
    with pytest.raises(MalformedRow, match=r"short.csv:3: expected at least 7 fields"):
        read_posts(tmp_path / "short.csv")
    (tmp_path / "header.csv").write_text("id,name\n1,2\n")
    with pytest.raises(MalformedRow, match=r"header.csv:1: expected the columns id, title"):
        read_posts(tmp_path / "header.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(MalformedRow, match=r"empty.csv:1: expected a header and posts"):
        read_posts(tmp_path / "empty.csv")


def test_card_counts_are_those_of_the_data(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECHOBOOK_ROOT", raising=False)
    text = CARD.read_text(encoding="utf-8")
    folder = public / "hackernews"
    posts = load_posts(folder)
    figures = [len(posts.frame), posts.frame["user"].nunique(), *posts.dropped.values()]
    figures += [len(read_posts(folder / name)) for name in FILES]
    assert [f"{figure:,}" for figure in figures if f"{figure:,}" not in text] == []
