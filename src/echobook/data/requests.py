"""A world of spoken requests: what was meant, how it was worded, what was heard and understood.

One row is one recording. Goals and interpretations are frames such as `music_play|artist:the lanterns`; a
request went well when the interpretation equals the goal. Loaders and generators of request corpora return
this type.
"""

from dataclasses import dataclass

import pandas as pd

from echobook.data.types import DatasetUse
from echobook.data.unicode import nfc

COLUMNS = ("goal", "wording", "text", "frame")


@dataclass(frozen=True)
class RequestWorld:
    """Recordings with columns goal, wording, text, frame (all text; an empty frame: nothing understood)."""

    name: str
    recordings: pd.DataFrame
    use: DatasetUse
    dropped: dict[str, int]

    def __post_init__(self) -> None:
        if tuple(self.recordings.columns) != COLUMNS:
            raise ValueError(f"{self.name}: expected columns {COLUMNS}, got {tuple(self.recordings.columns)}")
        if self.recordings.empty:
            raise ValueError(f"{self.name}: no recordings")


def frame_name(intent: str, slots: dict[str, str]) -> str:
    """Canonical frame text: intent, then slot:value in order of slot names, joined by bars, composed."""
    return nfc("|".join([intent, *(f"{slot}:{value}" for slot, value in sorted(slots.items()))]))
