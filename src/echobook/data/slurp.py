"""SLURP's recorded recogniser texts and interpretations as a request world (CC BY 4.0, text part).

Joins the test sentences (what was meant) with the published predictions of one system for every recording
(what was heard and understood). Frames keep scenario, action and entity values; texts are lower case with
clitics rejoined and unknown-word marks removed. Goals with fewer than `min_recordings` recordings are
dropped and counted.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from echobook.data.requests import RequestWorld, frame_name
from echobook.data.types import DatasetUse, combined_digest
from echobook.data.unicode import nfc

FILES = ("test.jsonl", "multi_slurp_hermit_predictions.jsonl")
SOURCE = "https://github.com/pswietojanski/slurp"
COMMIT = "8eb16545762be97ace75334109d73824217311f1"


def load_slurp(folder: Path, *, min_recordings: int = 4) -> RequestWorld:
    """Read the two files from a verified folder.

    Raises FileNotFoundError naming a missing file and ValueError naming file and line when one cannot be
    read.
    """
    heard = {row["file"]: row for row in _rows(folder / FILES[1])}
    rows, missing = [], 0
    for sentence in _rows(folder / FILES[0]):
        goal, wording = _gold_frame(sentence), normalise(sentence["sentence"])
        for recording in sentence["recordings"]:
            prediction = heard.get(recording["file"])
            if prediction is None:
                missing += 1
                continue
            rows.append((goal, wording, normalise(prediction["text"]), _frame(prediction)))
    frame = pd.DataFrame(rows, columns=["goal", "wording", "text", "frame"])
    enough = frame.groupby("goal").goal.transform("size") >= min_recordings
    kept = frame[enough].reset_index(drop=True)
    dropped = {"no-prediction": missing, "rare-goal": int((~enough).sum())}
    return RequestWorld("slurp", kept, _use(folder, len(kept)), dropped)


def normalise(text: str) -> str:
    """Composed (NFC) lower case, unknown-word marks removed, split clitics rejoined, single blanks."""
    plain = re.sub(r"<\s*unk\s*>", " ", nfc(text.lower()))
    plain = re.sub(r"\s+'\s*(?=[a-z])|\s*'\s+(?=(s|m|t|re|ve|ll|d)\b)", "'", plain)
    return re.sub(r"\s+", " ", plain).strip()


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path.name}, line {number}: not JSON ({error.msg})") from error


def _gold_frame(sentence: dict[str, Any]) -> str:
    words = [token["surface"] for token in sentence["tokens"]]
    slots = {e["type"]: normalise(" ".join(words[i] for i in e["span"])) for e in sentence["entities"]}
    return frame_name(f"{sentence['scenario']}_{sentence['action']}", slots)


def _frame(prediction: dict[str, Any]) -> str:
    slots = {e["type"]: normalise(e["filler"]) for e in prediction["entities"]}
    return frame_name(f"{prediction['scenario']}_{prediction['action']}", slots)


def _use(folder: Path, rows: int) -> DatasetUse:
    digest = combined_digest({n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in FILES})
    return DatasetUse("slurp", COMMIT[:12], digest, "CC-BY-4.0 (text part)", {"recordings": rows}, SOURCE)
