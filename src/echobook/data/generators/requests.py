"""A small world of spoken requests with its own words, mishearings and understanding.

A goal is an intent with a value (an artist, a room, a dish). Each has several wordings. A recording
mishears words by our own phonetic rules with probability `confusion`; the same speaker-independent slips
recur, which is what makes them learnable. Understanding is exact matching of carrier phrases; whatever
follows is the value, right or not. With confusion 0 every request is understood and mining can bring
nothing (the control setting).
"""

import hashlib
import re

import numpy as np
import pandas as pd

from echobook.data.requests import COLUMNS, RequestWorld, frame_name
from echobook.data.types import DatasetUse

VERSION = "1"
INTENTS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "music_play": (
        "artist",
        ("play {}", "put on {}", "i want to hear {}"),
        ("the paper lanterns", "marble dragons", "silver thicket", "vera quill", "north pier",
         "the bold finches",
         "copper valley", "dana frost", "velvet harbour", "seven mile bridge band"),
    ),
    "light_on": (
        "room",
        ("light up the {}", "turn on the {} lamp", "make the {} bright"),
        ("kitchen", "back porch", "pantry", "study", "bedroom", "den", "attic", "garden shed"),
    ),
    "recipe_find": (
        "dish",
        ("how do i cook {}", "find a recipe for {}", "what goes into {}"),
        ("barley soup", "fig tart", "bean stew", "pickled beets", "saffron rice", "pear crumble", "fish pie"),
    ),
    "podcast_open": (
        "show",
        ("open the show {}", "continue {}", "start the podcast {}"),
        ("deep sea tales", "morning ledger", "the quiet lab", "borrowed time", "history bites",
         "market square"),
    ),
    "call_make": (
        "person",
        ("call {}", "ring {}", "dial {}"),
        ("peter vance", "bettina marsh", "dr fenwick", "theo", "marta", "the dentist"),
    ),
}  # fmt: skip
SLIPS: tuple[tuple[str, str], ...] = (
    ("th", "d"), ("v", "b"), ("p", "b"), ("b", "p"), ("d", "t"), ("t", "d"), ("f", "v"), ("m", "n"),
    ("n", "m"),
    ("k", "g"), ("er", "a"), ("ea", "e"), ("ing", "in"), ("z", "s"), ("ck", "g"), ("l", "r"),
)  # fmt: skip


def request_world(*, seed: int, confusion: float = 0.35, takes: int = 12) -> RequestWorld:
    """Generate `takes` recordings of every wording of every goal; deterministic for a seed.

    confusion: probability that a recording is misheard, in [0, 1]. Raises ValueError outside that range.
    """
    if not 0 <= confusion <= 1 or takes < 2:
        raise ValueError(f"need confusion in [0, 1] and takes >= 2, got {confusion} and {takes}")
    rng = np.random.default_rng(seed)
    rows = []
    for intent, (slot, carriers, values) in INTENTS.items():
        for value in values:
            goal = frame_name(intent, {slot: value})
            for carrier in carriers:
                wording = carrier.format(value)
                for _ in range(takes):
                    text = misheard(wording, rng) if rng.random() < confusion else wording
                    rows.append((goal, wording, text, understood(text)))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return RequestWorld("generated requests", frame, _use(frame, seed), {})


def misheard(text: str, rng: np.random.Generator) -> str:
    """One slip at one place of the text where a rule applies; the text itself when none does."""
    places = [(m.start(), old, new) for old, new in SLIPS for m in re.finditer(old, text)]
    if not places:
        return text
    at, old, new = places[int(rng.integers(0, min(len(places), 4)))]
    return text[:at] + new + text[at + len(old) :]


def understood(text: str) -> str:
    """Frame of a text: the carrier phrase that matches gives intent and value; empty without one."""
    for intent, (slot, carriers, _) in INTENTS.items():
        for carrier in carriers:
            before, after = carrier.split("{}")
            if text.startswith(before) and text.endswith(after) and len(text) > len(before) + len(after):
                return frame_name(intent, {slot: text[len(before) : len(text) - len(after)]})
    return ""


def _use(frame: pd.DataFrame, seed: int) -> DatasetUse:
    digest = hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()
    version, rows = f"{VERSION}, seed {seed}", {"recordings": len(frame)}
    return DatasetUse("generated requests", version, digest, "CC0-1.0 (generated)", rows, __name__)
