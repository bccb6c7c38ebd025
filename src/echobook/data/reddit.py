"""Titles of Reddit's most liked posts of 2013 in nine communities: texts with a label, without authors.

One file a community, up to 1,000 posts each; the community is the label. Of equal titles (lower-cased) in
one community only the first is kept. Rows are in order of time, so that a split by time is a split by row.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from echobook.data.registry import public_use
from echobook.data.text_files import MalformedRow
from echobook.data.types import DatasetUse

COMMUNITIES = ("Coffee", "Cooking", "DIY", "Python", "bicycling", "cars", "knitting", "linux", "nba")
FILES = tuple(f"{name}.csv" for name in COMMUNITIES)
COLUMNS = ("created_utc", "id", "title")


@dataclass(frozen=True)
class Titles:
    """Titles in order of time.

    Attributes:
        frame: text, label (community), time; index 0..N-1.
        use: what was used, for the results file.
        dropped: titles left out, by reason.
    """

    frame: pd.DataFrame
    use: DatasetUse
    dropped: dict[str, int]


def load_titles(folder: Path) -> Titles:
    """Read all communities from a verified folder.

    Raises:
        MalformedRow: a file without the documented columns, or a row without id, title or time; file and
            row are named.
    """
    parts = [read_titles(folder / name).assign(label=Path(name).stem) for name in FILES]
    frame = pd.concat(parts).sort_values(["time", "id"], kind="stable")
    again = pd.DataFrame({"label": frame["label"], "text": frame["text"].str.lower()}).duplicated()
    dropped = Counter({"same title in the same community": int(again.sum())})
    frame = frame[~again][["text", "label", "time"]].reset_index(drop=True)
    return Titles(frame, public_use("reddit_top2013", {"titles": len(frame)}, FILES), dict(dropped))


def read_titles(path: Path) -> pd.DataFrame:
    """Columns text, time and id of one community's file; rows in the file's order."""
    raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    if absent := [name for name in COLUMNS if name not in raw.columns]:
        raise MalformedRow(path, 1, f"the columns {', '.join(COLUMNS)}", f"no {absent[0]}")
    seconds = pd.to_numeric(raw["created_utc"], errors="coerce")
    text = raw["title"].map(lambda title: " ".join(title.split()))
    bad = (seconds.isna() | (text == "") | (raw["id"] == "")).to_numpy()
    if bad.any():
        row = int(bad.argmax())
        found = [raw[name].iloc[row] for name in COLUMNS]
        raise MalformedRow(path, row + 2, "an id, a title and a time in seconds", found)
    return pd.DataFrame({"text": text, "time": pd.to_datetime(seconds, unit="s"), "id": raw["id"]})
