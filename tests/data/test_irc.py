"""Ubuntu IRC and Molweni: small files by hand, refusals, and counts of the real ones."""

import json
from pathlib import Path

import pytest

from echobook.data.irc import load_irc, read_channel, read_log, spread
from echobook.data.molweni import load_molweni, read_dialogues
from echobook.data.text_files import MalformedRow

LOG = """[23:59] <ann> hello there
=== bob has joined #ubuntu
[00:01]  * ann waves
[00:02] -cat- notice
[00:03] <bob>
"""


def files(
    tmp_path: Path, log: str = LOG, links: str = "1 1 -\n0 2 -\n2 3 -\n2 4 -\n1 4 -\n"
) -> tuple[Path, Path]:
    paths = tmp_path / "2005-01-01.x.ascii.txt", tmp_path / "2005-01-01.x.annotation.txt"
    for path, text in zip(paths, (log, links), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def test_a_log_by_hand(tmp_path: Path) -> None:
    channel = read_channel(*files(tmp_path), first=1)
    assert [message.speaker for message in channel.messages] == ["ann", "bob", "ann", "cat", "bob"]
    assert [message.text for message in channel.messages][2:] == ["waves", "notice", ""]
    assert [message.minute for message in channel.messages] == [1439, 1439, 1, 2, 3]
    assert [message.system for message in channel.messages] == [False, True, False, False, False]
    assert channel.links == {1: (1,), 2: (0,), 3: (2,), 4: (1, 2)}
    assert (channel.name, channel.year, list(channel.annotated)) == ("2005-01-01.x", 2005, [1, 2, 3, 4])


def test_a_line_without_a_link_starts_a_conversation(tmp_path: Path) -> None:
    assert read_channel(*files(tmp_path, links="2 4 -\n"), first=3).links == {3: (3,), 4: (2,)}


@pytest.mark.parametrize(
    ("log", "links", "message"),
    [
        ("[10:00] <ann> hi\nno time here\n", "1 1 -\n", r"ascii.txt:2: expected '\[hh:mm\]"),
        (LOG, "1 1 -\n4 9 -\n", r"annotation.txt:2: expected two line numbers below 5"),
        (LOG, "one 2 -\n", r"annotation.txt:1: expected two line numbers"),
        (LOG, "0 0 -\n", r"annotation.txt:1: expected a link of a line from 1 on"),
        (LOG, "", r"annotation.txt:1: .*a channel without annotations"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, log: str, links: str, message: str) -> None:
    with pytest.raises(MalformedRow, match=message):
        read_channel(*files(tmp_path, log, links), first=1)


def test_files_are_spread_evenly() -> None:
    assert spread(list("abcdefg"), 3) == ["a", "d", "g"]
    assert spread(list("abc"), 9) == ["a", "b", "c"]
    assert spread(list("abc"), 1) == ["a"]


def test_unknown_splits_and_sizes() -> None:
    with pytest.raises(ValueError, match="got 'valid'"):
        load_irc("valid")
    with pytest.raises(ValueError, match="at least 1, got 0"):
        load_irc("dev", files=0)
    with pytest.raises(ValueError, match="got 'train'"):
        load_molweni("train")


def dialogue(**changes: object) -> dict[str, object]:
    turns = [{"speaker": "a", "text": "hi  there"}, {"speaker": "", "text": "yes"}]
    return {"id": "7", "edus": turns, "relations": [{"x": 0, "y": 1, "type": "QAP"}], **changes}


def test_a_dialogue_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text(json.dumps([dialogue()]), encoding="utf-8")
    (found,) = read_dialogues(path)
    assert (found.texts, found.parents, len(found)) == (("hi there", "yes"), ((), (0,)), 2)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            dialogue(relations=[{"x": 1, "y": 0}]),
            r"d.json:\d+: expected a relation from an earlier .* 7, got \(1, 0\)",
        ),
        (dialogue(relations=[{"x": 0, "y": 2}]), "a later of 2 turns"),
        (dialogue(edus=[{"speaker": "a", "text": " "}]), "filled turns in dialogue 7"),
        ({"id": "7"}, "dialogue 1 with id, edus and relations"),
    ],
)
def test_bad_dialogues_are_named(tmp_path: Path, entry: dict[str, object], message: str) -> None:
    path = tmp_path / "d.json"
    path.write_text(json.dumps([dialogue(), entry], indent=1), encoding="utf-8")
    with pytest.raises(MalformedRow, match=message):
        read_dialogues(path)


def test_counts_of_the_published_files(public: Path) -> None:
    channels, use = load_irc("dev")
    assert (len(channels), use.rows) == (10, {"dev": 2500})
    assert sum(len(parents) for one in channels for parents in one.links.values()) == 2607  # as published
    assert sum(message.system for one in channels for message in one.messages[1000:]) == 173
    dialogues, use = load_molweni("test")
    assert (len(dialogues), use.rows) == (500, {"test": 4430})
    assert len(read_log(public / "ubuntu-irc" / "dev" / "2004-11-15_03.ascii.txt")) == 1250
