"""SLURP's loader on a tiny hand-made folder, text normalisation, and the generated request world."""

import json
from pathlib import Path

import pandas as pd
import pytest

from echobook.data.generators.requests import request_world, understood
from echobook.data.requests import COLUMNS, RequestWorld, frame_name
from echobook.data.slurp import load_slurp, normalise


def folder(path: Path, recordings: int = 4) -> Path:
    sentence = {
        "sentence": "wake me at SIX", "scenario": "alarm", "action": "set",
        "tokens": [{"surface": w} for w in ["wake", "me", "at", "six"]],
        "entities": [{"span": [3], "type": "time"}],
        "recordings": [{"file": f"{n}.flac"} for n in range(recordings + 1)],
    }  # fmt: skip
    heard = [
        {"text": "wake me at six" if n else "wake < unk > me", "scenario": "alarm", "action": "set",
         "entities": [{"type": "time", "filler": "six"}] if n else [], "file": f"{n}.flac"}
        for n in range(recordings)
    ]  # fmt: skip
    (path / "test.jsonl").write_text(json.dumps(sentence) + "\n")
    (path / "multi_slurp_hermit_predictions.jsonl").write_text("".join(json.dumps(r) + "\n" for r in heard))
    return path


def test_recordings_are_joined_with_their_predictions(tmp_path: Path) -> None:
    world = load_slurp(folder(tmp_path))
    assert world.recordings.goal.unique().tolist() == ["alarm_set|time:six"]
    assert world.recordings.frame.tolist() == ["alarm_set"] + ["alarm_set|time:six"] * 3
    assert world.recordings.text[0] == "wake me"
    assert world.dropped == {"no-prediction": 1, "rare-goal": 0}
    assert world.use.rows == {"recordings": 4}


def test_rare_goals_are_dropped_and_counted(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="slurp: no recordings"):
        load_slurp(folder(tmp_path, recordings=3))


@pytest.mark.parametrize("file", ["test.jsonl", "multi_slurp_hermit_predictions.jsonl"])
def test_a_broken_line_is_named(tmp_path: Path, file: str) -> None:
    path = folder(tmp_path) / file
    lines = path.read_text().splitlines()
    path.write_text(f"{lines[0]}\n{lines[-1][:-5]}\n")
    with pytest.raises(ValueError, match=f"^{file}, line 2: not JSON"):
        load_slurp(tmp_path)


def test_a_slot_of_several_words_is_their_span(tmp_path: Path) -> None:
    path = folder(tmp_path) / "test.jsonl"
    sentence = json.loads(path.read_text())
    sentence["entities"] = [{"span": [2, 3], "type": "time"}, {"span": [1], "type": "person"}]
    path.write_text(json.dumps(sentence) + "\n")
    assert load_slurp(tmp_path).recordings.goal.unique().tolist() == ["alarm_set|person:me|time:at six"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (folder(tmp_path) / "test.jsonl").unlink()
    with pytest.raises(FileNotFoundError, match=r"test\.jsonl"):
        load_slurp(tmp_path)


def test_only_goals_with_enough_recordings_are_kept(tmp_path: Path) -> None:
    path = folder(tmp_path) / "test.jsonl"
    other = json.loads(path.read_text())
    other |= {"action": "remove", "entities": [], "recordings": [{"file": "0.flac"}, {"file": "none.flac"}]}
    path.write_text(path.read_text() + json.dumps(other) + "\n")
    world = load_slurp(tmp_path)
    assert world.recordings.goal.tolist() == ["alarm_set|time:six"] * 4
    assert world.recordings.wording.unique().tolist() == ["wake me at six"]
    assert world.dropped == {"no-prediction": 2, "rare-goal": 1}
    assert len(load_slurp(tmp_path, min_recordings=1).recordings) == 5


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("What 's  the Time", "what's the time"),
        ("do n't < unk > stop", "do n't stop"),
        ("it 's", "it's"),
        ("", ""),
    ],
)
def test_texts_are_normalised(raw: str, clean: str) -> None:
    assert normalise(raw) == clean


def test_frames_do_not_depend_on_slot_order() -> None:
    assert frame_name("a", {"y": "2", "x": "1"}) == frame_name("a", {"x": "1", "y": "2"}) == "a|x:1|y:2"


def test_the_generated_world_repeats_and_understands_itself() -> None:
    one, two = request_world(seed=3), request_world(seed=3)
    pd.testing.assert_frame_equal(one.recordings, two.recordings)
    assert one.use.sha256 == two.use.sha256 != request_world(seed=4).use.sha256
    assert (one.recordings.frame == one.recordings.text.map(understood)).all()
    clean = one.recordings[one.recordings.text == one.recordings.wording]
    assert (clean.frame == clean.goal).all()


def test_confusion_sets_the_share_of_errors() -> None:
    quiet = request_world(seed=0, confusion=0.0).recordings
    assert (quiet.frame == quiet.goal).all()
    noisy = request_world(seed=0, confusion=0.5).recordings
    assert 0.4 < (noisy.text != noisy.wording).mean() < 0.6
    with pytest.raises(ValueError, match="need confusion in"):
        request_world(seed=0, confusion=2.0)


def test_worlds_check_their_columns() -> None:
    use = request_world(seed=0).use
    with pytest.raises(ValueError, match=r"x: expected columns \('goal'"):
        RequestWorld("x", pd.DataFrame({"goal": ["a"]}), use, {})
    with pytest.raises(ValueError, match="x: no recordings"):
        RequestWorld("x", pd.DataFrame(columns=list(COLUMNS)), use, {})
