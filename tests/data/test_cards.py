"""Data cards: what each must say, and its counts against the real rows where they are present."""

import re
from pathlib import Path

import pytest

from echobook.data.intent_sources import SOURCES
from echobook.data.intents import load_intents
from echobook.data.registry import dataset_rows

CARDS = Path(__file__).resolve().parents[2] / "data" / "cards"
PARTS = ("Source:", "Licence:", "Made by:", "Columns.", "Splits and counts.", "Known bias.", "How we cut it.")
ROW = re.compile(r"^\| ([a-z-]+) \| ([\d,]+) \| ([\d,]+) \|$", re.MULTILINE)


@pytest.fixture(autouse=True)
def shipped_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECHOBOOK_ROOT", raising=False)


def counts(text: str, column: int) -> dict[str, int]:
    return {row[0]: int(row[column].replace(",", "")) for row in ROW.findall(text)}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_card_is_whole_and_agrees_with_registry_and_loader(name: str) -> None:
    text = (CARDS / f"{name}.md").read_text(encoding="utf-8")
    assert [part for part in PARTS if f"**{part}**" not in text] == []
    row = dataset_rows(name)[0]
    assert row.commit in text
    assert row.repo in text
    assert ("**unclear**" in text) == (row.redistribution == "unclear")
    assert counts(text, 1) == dict(SOURCES[name].rows)


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_card_counts_are_those_of_the_data(name: str, public: Path) -> None:
    text = (CARDS / f"{name}.md").read_text(encoding="utf-8")
    corpus = load_intents(name)
    assert counts(text, 2) == dict(corpus.use.rows)
    dropped = text.partition("Dropped: ")[2].partition(".\n")[0]
    assert [f"{count:,}" for count in corpus.dropped.values() if f"{count:,}" not in dropped] == []
