"""Readers: hand-written files, and every malformed row refused with file and line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from echobook.data.text_files import (
    MalformedRow,
    Utterance,
    item_line,
    read_columns,
    read_json,
    read_json_pairs,
    read_lines,
    read_rasa,
    read_slot_tagged,
    read_tsv,
)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_lines(tmp_path: Path) -> None:
    assert list(read_lines(write(tmp_path / "f", "one\r\ntwo\n"))) == [(1, "one"), (2, "two")]


def test_slot_tagged(tmp_path: Path) -> None:
    path = write(tmp_path / "f", "at:O 5:30:B-time :O pm:I-time <=> a;b\nsay:O <=>:B-x <=> c\n")
    assert read_slot_tagged(path) == [Utterance("at 5:30 pm", "a;b"), Utterance("say <=>", "c")]


def test_tsv_with_quotes(tmp_path: Path) -> None:
    path = write(tmp_path / "f", 'text\tlabel\n"What is ""x""?"\ta\nit\'s "so"\tb\n')
    assert read_tsv(path) == [Utterance('What is "x"?', "a"), Utterance('it\'s "so"', "b")]


def test_json_pairs_and_rasa(tmp_path: Path) -> None:
    pairs = write(tmp_path / "p", json.dumps({"train": [["hi", "greet"]], "test": []}))
    assert read_json_pairs(pairs) == {"train": [Utterance("hi", "greet")], "test": []}
    document = {"rasa_nlu_data": {"common_examples": [{"text": "hi", "intent": "greet", "entities": []}]}}
    assert read_rasa(write(tmp_path / "r", json.dumps(document))) == [Utterance("hi", "greet")]


@pytest.mark.parametrize("indent", [None, 1, 4])
def test_item_line(tmp_path: Path, indent: int | None) -> None:
    items = [["a, [b]", "x"], ['"quoted" \\', "y"], ["last", "z"]]
    path = write(tmp_path / "f", json.dumps({"other": [["n", "m"]], "train": items}, indent=indent))
    lines = path.read_text().splitlines()
    for index, (text, _) in enumerate(items):
        found = item_line(path, "train", index)
        assert json.dumps(text) in "".join(lines[found - 1 : found + 1])
    assert item_line(path, "absent", 0) == 1


RASA = '{"rasa_nlu_data": {"common_examples": [\n{"text": "a", "intent": "b"},\n%s]}}'


@pytest.mark.parametrize(
    ("read", "content", "line", "message"),
    [
        (read_slot_tagged, "a:O <=> x\nb:O x\n", 2, "expected 'word:TAG ... <=> label', got 'b:O x'"),
        (read_slot_tagged, "a:O <=> x\nb c:O <=> x\n", 2, "word:TAG"),
        (read_slot_tagged, "a:O <=> x\n\n", 2, "got ''"),
        (read_slot_tagged, "a: <=> x\n", 1, "word:TAG"),
        (read_slot_tagged, b"a:O <=> x\n\xff:O <=> x\n", 2, "expected UTF-8 text"),
        (read_tsv, "text\tlabel\na\tb\nc\n", 3, "two filled fields"),
        (read_tsv, "text\tlabel\na\tb\tc\n", 2, "two filled fields"),
        (read_tsv, "text\tlabel\n\tb\n", 2, "two filled fields"),
        (read_tsv, "a\tb\n", 1, "the header"),
        (read_tsv, "", 1, "the header"),
        (read_tsv, 'text\tlabel\n"a"b\tc\n', 2, "tab-separated row"),
        (read_tsv, b"text\tlabel\na\tb\n\xff\tb\n", 3, "UTF-8"),
        (read_json, '{"a":\n [1,\n}', 3, "JSON"),
        (read_json, b'{"a":\n "\xff"}', 2, "UTF-8"),
        (read_json_pairs, "[]", 1, "an object of splits"),
        (read_json_pairs, '{"train": {}}', 1, "a list under 'train'"),
        (read_json_pairs, '{"train": [\n["a", "b"],\n["c"]]}', 3, r"expected \[text, label\], got \['c'\]"),
        (read_json_pairs, '{"train": [\n["a", "b"],\n["c", 1]]}', 3, "text, label"),
        (read_json_pairs, '{"train": [\n["a", "b"],\n["  ", "x"]]}', 3, "text, label"),
        (read_rasa, "{}", 1, "rasa_nlu_data.common_examples"),
        (read_rasa, RASA % '{"text": "a"}', 3, "filled text and intent"),
        (read_rasa, RASA % '{"text": "", "intent": "b"}', 3, "filled text and intent"),
        (read_rasa, RASA % '"text"', 3, "filled text and intent"),
    ],
)
def test_malformed(
    tmp_path: Path, read: Callable[[Path], object], content: str | bytes, line: int, message: str
) -> None:
    path = write(tmp_path / "bad file", content)
    with pytest.raises(MalformedRow, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")


@pytest.mark.parametrize(("length", "shown"), [(78, "x" * 78), (79, "x" * 76 + "...")])
def test_rows_of_eighty_characters_with_their_quotes_are_shown_whole(
    tmp_path: Path, length: int, shown: str
) -> None:
    with pytest.raises(MalformedRow) as caught:
        read_slot_tagged(write(tmp_path / "f", "x" * length))
    assert str(caught.value).split("got '")[1].removesuffix("'") == shown


@pytest.mark.parametrize("cut", [0, 1, 20, 40])
def test_a_json_file_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    text = json.dumps({"train": [["wake me", "alarm"], ["rain", "weather"]]}, indent=1)
    path = write(tmp_path / "f", text[:cut])
    with pytest.raises(MalformedRow, match=r"f:\d+: expected JSON"):
        read_json_pairs(path)
    with pytest.raises(MalformedRow, match=r"f:\d+: expected JSON"):
        read_rasa(path)


def test_long_rows_are_shortened_in_messages(tmp_path: Path) -> None:
    with pytest.raises(MalformedRow, match=r"\.\.\.$"):
        read_slot_tagged(write(tmp_path / "f", "x" * 5000))


def test_columns_of_a_csv(tmp_path: Path) -> None:
    text = '\ufeffnote,user,text\r\n1, bo ,"a, b"\r\n\r\n2,al,"two\nlines"\r\n'
    found = list(read_columns(write(tmp_path / "f.csv", text), ("user", "text"), ("time",)))
    assert found == [(2, {"user": "bo", "text": "a, b"}), (5, {"user": "al", "text": "two\nlines"})]
    timed = write(tmp_path / "t.csv", "time,user\n1,a\n")
    assert list(read_columns(timed, ("user",), ("time",))) == [(2, {"user": "a", "time": "1"})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"f.csv:1: expected the columns a, b, got 'no a in \[\]'"),
        ("a,c\n", "f.csv:1: .*no b in"),
        ("a,b,a\n", "f.csv:1: expected the columns a, b once, got .a twice"),
        ("a,b\n1,2\n1\n", "f.csv:3: expected filled fields a, b"),
        ("a,b\n1,2,3\n", "f.csv:2: expected filled fields a, b"),
        ("a,b\n1, \n", "f.csv:2: expected filled fields a, b"),
        ('a,b\n1,2\n"open,2\n3,4\n', "f.csv:3: expected a row of a CSV with quotes in pairs"),
        (b"a,b\ncaf\xe9,1\n", "f.csv:2: expected UTF-8 text"),
    ],
)
def test_bad_rows_of_a_csv_are_named(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(MalformedRow, match=message):
        list(read_columns(write(tmp_path / "f.csv", content), ("a", "b")))
