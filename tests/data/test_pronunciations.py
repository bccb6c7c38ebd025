"""Dictionary lines by hand, refusals, and the counts of the card on the real file."""

from pathlib import Path

import pytest

from echobook.data.pronunciations import load_pronunciations, read_dictionary
from echobook.data.text_files import MalformedRow

CARD = Path(__file__).resolve().parents[2] / "data" / "cards" / "cmudict.md"


def test_stress_variants_and_remarks_go(tmp_path: Path) -> None:
    path = tmp_path / "d"
    path.write_text("bauer B AW1 ER0\nbauer(2) B OW1 ER0\naalto AA1 L T OW2 # name, finnish\n")
    assert read_dictionary(path) == ({"bauer": ("B", "AW", "ER"), "aalto": ("AA", "L", "T", "OW")}, 1)


@pytest.mark.parametrize("line", ["bauer", "bauer b aw er", ""])
def test_a_line_of_another_form_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "d"
    path.write_text(f"a AH0\n{line}\n")
    with pytest.raises(MalformedRow, match=r"d:2: expected 'word P1 P2 ...'"):
        read_dictionary(path)


def test_the_dictionary_has_39_phonemes(public: Path) -> None:
    found = load_pronunciations(public / "cmudict")
    assert len({phone for phones in found.words.values() for phone in phones}) == 39
    assert f"{len(found.words):,}" in CARD.read_text()
    assert f"{found.variants:,}" in CARD.read_text()
