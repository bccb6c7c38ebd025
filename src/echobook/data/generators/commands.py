"""Commands with an intent and slots, from templates and made-up fillers; nothing is taken from a public set.

Ten intents, each with a handful of wordings, over six slots. `variety` sets how many fillers a slot has:
few fillers make a task that is learned without memorising; many make names that occur once. `noise` is the
share of utterances
whose intent is replaced by a random one: what a model can only know by heart. At noise 0 and few fillers
members and non-members look alike to a trained model, so that membership inference has nothing to find: the
control."""

import numpy as np

from echobook.data.slots import SlotCorpus, Tagged
from echobook.data.types import DatasetUse, rows_digest

VERSION = "1"
TEMPLATES = {
    "play_music": ("play {title}", "put on {title} by {name}", "i want to hear {title} {when}"),
    "set_alarm": ("wake me {when}", "set an alarm for {when}", "alarm {when} please"),
    "call_person": ("call {name}", "ring {name} {when}", "get {name} on the phone"),
    "lamp_on": ("turn on the lamp in the {room}", "light in the {room} please", "make the {room} brighter"),
    "lamp_off": ("turn off the lamp in the {room}", "darken the {room}", "no light in the {room} {when}"),
    "buy_item": ("order {count} {item}", "add {item} to the basket", "we need {count} more {item}"),
    "ask_weather": ("how is the weather {when}", "will it rain {when}", "do i need a coat {when}"),
    "send_note": ("tell {name} that i am late", "write {name} about the {item}", "send {name} a note {when}"),
    "find_item": ("where is the {item}", "find my {item} in the {room}", "did {name} take the {item}"),
    "book_table": (
        "a table for {count} {when}",
        "reserve {count} seats with {name}",
        "book for {count} {when}",
    ),
}
ONSETS, VOWELS, ENDS = (
    ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "dr", "gr", "tr"],
    ["a", "e", "i", "o", "u"],
    ["n", "l", "r", "s", "t", "m"],
)
WHEN = (
    "today",
    "tomorrow",
    "at noon",
    "at six",
    "tonight",
    "on monday",
    "in an hour",
    "at dawn",
    "on friday",
)
COUNT = ("two", "three", "four", "five", "six", "seven", "eight", "nine")
ROOM = ("kitchen", "hall", "attic", "cellar", "study", "bedroom", "garage", "porch")


def _names(count: int, syllables: int, rng: np.random.Generator) -> list[str]:
    """Made-up words, all different."""
    found: dict[str, None] = {}
    while len(found) < count:
        word = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(syllables)) + rng.choice(ENDS)
        found[word] = None
    return list(found)


def _fill(
    template: str, fillers: dict[str, list[str]], rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    words: list[str] = []
    tags: list[str] = []
    for part in template.split():
        slot = part.strip("{}") if part.startswith("{") else None
        filled = str(rng.choice(fillers[slot])).split() if slot else [part]
        words += filled
        tags += [f"B-{slot}", *[f"I-{slot}"] * (len(filled) - 1)] if slot else ["O"]
    return words, tags


def generate_commands(
    *, seed: int, sizes: dict[str, int], variety: int = 200, noise: float = 0.05
) -> SlotCorpus:
    """A corpus of commands.

    Args:
        seed: of names, wordings and noise.
        sizes: utterances by split; utterances may repeat, as users' do.
        variety: fillers of each open slot (titles, names, items), at least 2.
        noise: share of utterances with a random intent, in [0, 1].

    Raises:
        ValueError: variety below 2 or noise outside [0, 1].
    """
    if variety < 2 or not 0 <= noise <= 1:
        raise ValueError(f"expected variety >= 2 and noise in [0, 1], found {variety} and {noise}")
    rng = np.random.default_rng([seed, 4711])
    fillers = {"when": list(WHEN), "count": list(COUNT), "room": list(ROOM)}
    fillers |= {
        slot: _names(variety, length, rng) for slot, length in (("name", 2), ("item", 2), ("title", 3))
    }
    splits = {split: [_one(fillers, noise, rng) for _ in range(size)] for split, size in sizes.items()}
    rows = ([split, *row.words, *row.tags, row.intent] for split, kept in splits.items() for row in kept)
    use = DatasetUse(
        "commands",
        f"{VERSION}, seed {seed}, variety {variety}, noise {noise}",
        rows_digest(rows),
        "CC0-1.0 (generated)",
        {split: len(kept) for split, kept in splits.items()},
        __name__,
    )
    return SlotCorpus("commands", splits, use)


def _one(fillers: dict[str, list[str]], noise: float, rng: np.random.Generator) -> Tagged:
    intent = str(rng.choice(list(TEMPLATES)))
    words, tags = _fill(str(rng.choice(TEMPLATES[intent])), fillers, rng)
    if rng.random() < noise:
        intent = str(rng.choice(list(TEMPLATES)))
    return Tagged(tuple(words), tuple(tags), intent)
