"""Tagged utterances: characters to words, files to corpora, what is refused."""

import json
from pathlib import Path

import pytest

from echobook.data import slots
from echobook.data.intent_sources import CorpusError
from echobook.data.slots import Tagged, build_slots, check_tags, load_slots, spans, tag_characters
from echobook.data.text_files import MalformedRow
from echobook.data.types import DatasetUse


def use(rows: dict[str, int]) -> DatasetUse:
    return DatasetUse("x", "1", "0" * 64, "none", rows, "test")


def test_characters_become_words_and_tags() -> None:
    found = tag_characters("call new york's mayor", [(5, 13, "Place Name"), (16, 21, "who")], "call")
    assert found.words == ("call", "new", "york", "'s", "mayor")
    assert found.tags == ("O", "B-place_name", "I-place_name", "O", "B-who")


def test_two_slots_side_by_side_stay_two() -> None:
    found = tag_characters("red green", [(0, 3, "c"), (4, 9, "c")], "x")
    assert found.tags == ("B-c", "B-c")
    assert spans(found.tags) == {(0, 1, "c"), (1, 2, "c")}


def test_a_slot_with_white_space_before_its_first_word_begins_there() -> None:
    assert tag_characters("go  home", [(2, 8, "place")], "x").tags == ("O", "B-place")


def test_spans_by_hand() -> None:
    assert spans(["O", "B-a", "I-a", "B-a", "O", "B-b"]) == {(1, 3, "a"), (3, 4, "a"), (5, 6, "b")}
    assert spans(["O"]) == set()


@pytest.mark.parametrize("entities", [[(0, 4, "a"), (2, 6, "b")], [(0, 99, "a")], [(3, 3, "a")]])
def test_slots_that_overlap_or_lie_outside_are_refused(entities: list[tuple[int, int, str]]) -> None:
    with pytest.raises(CorpusError, match="expected inside 'one two'"):
        tag_characters("one two", entities, "x")


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (["X"], "word 1: expected O, B-slot"),
        (["B-a", "I-b"], "word 2: 'I-b' continues no slot"),
        (["B-"], "word 1"),
    ],
)
def test_wrong_tags_are_refused(tags: list[str], words: str) -> None:
    with pytest.raises(CorpusError, match=words):
        check_tags(tags, "here")


def test_repeats_and_several_intents_are_dropped_and_counted() -> None:
    rows = [Tagged(("Hi",), ("O",), "greet"), Tagged(("hi",), ("O",), "greet"), Tagged(("a",), ("O",), "x;y")]
    corpus = build_slots("x", {"train": rows}, use)
    assert list(corpus.splits["train"]) == [Tagged(("Hi",), ("O",), "greet")]
    assert corpus.dropped == {"duplicate": 1, "several intents": 1}
    assert corpus.use.rows == {"train": 1}


def tagged_file(path: Path, line: str) -> Path:
    path.write_text("play:O x:B-t y:I-t <=> PlayMusic\n" + line + "\n", encoding="utf-8")
    return path


def test_a_tagged_file_is_read_and_a_lost_first_word_is_mended(tmp_path: Path) -> None:
    rows = list(slots._read_tagged_file(tagged_file(tmp_path / "train", "a:O :B-t b:I-t c:I-t <=> X")))
    assert rows[0] == Tagged(("play", "x", "y"), ("O", "B-t", "I-t"), "PlayMusic")
    assert rows[1] == Tagged(("a", "b", "c"), ("O", "B-t", "I-t"), "X")


@pytest.mark.parametrize("line", ["no separator", "word <=> X", "a:O <=> "])
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(MalformedRow, match="train:2: expected 'word:TAG"):
        list(slots._read_tagged_file(tagged_file(tmp_path / "train", line)))


def rasa(path: Path, entities: object) -> Path:
    good = {"text": "dim the hall", "intent": "dim", "entities": [{"start": 8, "end": 12, "entity": "room"}]}
    bad = {"text": "hello", "intent": "greet", "entities": entities}
    path.write_text(json.dumps({"rasa_nlu_data": {"common_examples": [good, bad]}}, indent=1))
    return path


def test_a_rasa_file_is_read(tmp_path: Path) -> None:
    rows = list(slots._read_rasa_file(rasa(tmp_path / "r.json", [])))
    assert rows == [
        Tagged(("dim", "the", "hall"), ("O", "O", "B-room"), "dim"),
        Tagged(("hello",), ("O",), "greet"),
    ]


@pytest.mark.parametrize("entities", [None, [{"start": 0}], [{"start": 0, "end": 50, "entity": "x"}]])
def test_a_bad_entity_names_file_and_line(tmp_path: Path, entities: object) -> None:
    with pytest.raises(MalformedRow, match=r"r\.json:1[0-9]: expected text, intent, entities"):
        list(slots._read_rasa_file(rasa(tmp_path / "r.json", entities)))


def test_an_unknown_corpus_lists_the_known_ones() -> None:
    with pytest.raises(CorpusError, match="known: atis, nlu_eval_hwu64, snips"):
        load_slots("snipps")
