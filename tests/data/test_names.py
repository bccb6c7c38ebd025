"""Name lists by hand, refusals, and the counts of the card on the real files."""

from pathlib import Path

import pytest

from echobook.data.names import FILES, load_names, read_names

CARD = Path(__file__).resolve().parents[2] / "data" / "cards" / "name_databases.md"


def test_names_are_lower_case_letters_each_once(tmp_path: Path) -> None:
    path = tmp_path / "n"
    path.write_text("Bauer\nO'Neill\nbauer\nDe La Cruz\nJones\nMüller\n")
    assert read_names(path) == (("bauer", "jones"), 4)


def test_both_lists_with_their_counts(tmp_path: Path) -> None:
    (tmp_path / "first_names_us.txt").write_text("Meg\nJo\nmeg\n")
    (tmp_path / "surnames_us.txt").write_text("O'Neill\n Smith \n")
    found = load_names(tmp_path)
    assert (found.first, found.surnames) == (("meg", "jo"), ("smith",))
    assert found.dropped == {"first": 1, "surnames": 1}
    assert (found.use.name, found.use.rows) == ("name_databases", {"first": 2, "surnames": 1})
    (tmp_path / "first_names_us.txt").unlink()
    with pytest.raises(FileNotFoundError, match="first_names_us"):
        load_names(tmp_path)


def test_an_empty_list_is_named(tmp_path: Path) -> None:
    (tmp_path / FILES["first"]).write_text("Meg\n")
    (tmp_path / FILES["surnames"]).write_text("1\n")
    with pytest.raises(ValueError, match=r"surnames_us.txt: no name made of"):
        load_names(tmp_path)


def test_counts_are_those_of_the_card(public: Path) -> None:
    found = load_names(public / "name_databases")
    text = CARD.read_text()
    for count in found.use.rows.values():
        assert f"{count:,}" in text
