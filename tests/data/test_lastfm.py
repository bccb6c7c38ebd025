"""Last.FM with facts: a small copy of the published form, numbers, and refused rows."""

from pathlib import Path

import pytest

from echobook.data.lastfm import load_listening
from echobook.data.text_files import MalformedRow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Artists 50, 51 and 52 are entities 7, 3 and 9; artist 99 has no entity; user 3 heard one artist."""
    (tmp_path / "item_index2entity_id.txt").write_text("50\t7\n51\t3\n52\t9\n")
    (tmp_path / "kg.txt").write_text("7\tmade.in\t20\n21\tknows\t3\n30\tknows\t31\n7\tknows\t3\n")
    pairs = [(1, 50, 5), (1, 51, 1), (2, 50, 2), (2, 51, 9), (2, 99, 1), (3, 52, 1)]
    (tmp_path / "user_artists.dat").write_text(
        "userID\tartistID\tweight\n" + "".join(f"{u}\t{a}\t{w}\n" for u, a, w in pairs)
    )
    return tmp_path


def test_by_hand(folder):
    """Artists are entities 3 and 7, numbered 0 and 1; 20 and 21 become 2 and 3; one fact is left out."""
    heard = load_listening(folder, least_user=2, least_artist=2)
    assert list(zip(heard.user.tolist(), heard.artist.tolist(), strict=True)) == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    ]
    assert (heard.artists, heard.entities) == (2, 4)
    assert heard.relations == ("knows", "made.in")
    facts = list(zip(heard.head.tolist(), heard.relation.tolist(), heard.tail.tolist(), strict=True))
    assert facts == [(1, 1, 2), (3, 0, 0), (1, 0, 0)]
    assert heard.use.rows == {"pairs": 4, "facts": 3}


def test_nothing_left(folder):
    with pytest.raises(ValueError, match="no pair left with 5 a user"):
        load_listening(folder)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [("kg.txt", "7\tmade.in\n", "kg.txt:1: expected 3 filled fields"),
     ("item_index2entity_id.txt", "a\t1\n", "item_index2entity_id.txt:1"),
     ("user_artists.dat", "h\th\th\n1\t50\tx\n", "user_artists.dat:2")],
)  # fmt: skip
def test_malformed_rows_are_named(folder, file, text, message):
    (folder / file).write_text(text)
    with pytest.raises(MalformedRow, match=message):
        load_listening(folder, least_user=2, least_artist=2)
