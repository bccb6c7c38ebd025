"""Interactions with a voice assistant as streams of events: who speaks when, and whether the mic reopens.

Interactions begin as a Poisson process. Each has five events: the request begins, the words are recognised
(text: what the user said), a context list arrives (text: contacts, devices or places), the reply is chosen
(text: what the assistant says), and the microphone will open again or not. A follow-up comes after the spoken
reply and the user's reaction. All texts are generated here; a share of zero follow-ups is the control
setting, at which nothing may be embedded.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from echobook.data.types import DatasetUse
from echobook.store.events import Code, Event
from echobook.store.protocol import TwoTables, drive

VERSION = "1"
SECONDS_A_WORD, PAUSE_S = 0.38, 0.3
_ONSETS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v")
_RHYMES = ("ana", "elo", "ira", "ost", "une", "ard", "ina", "ole", "ett", "ax")
_ASKS = ("call {}", "ring {}", "send a note to {}", "switch on {}", "how far is {}", "open {}")
_ANSWERS = ("did you mean {} or {}", "there are two, {} and {}, which one would you like", "{} or {}")
_DONE = ("all right", "done, {} it is", "that is set for you now", "here is what i found for {}")
_LISTS = ("contacts", "devices", "places")


@dataclass(frozen=True)
class Interaction:
    """One interaction: its events in order, and when the next turn begins (seconds from the stream's start).

    Attributes:
        name: id.
        events: in the order in which they happen.
        follow_up: whether the microphone opens again.
        reply_s: length of the spoken reply, seconds.
        next_at: when the follow-up's audio arrives; the end of the reply without one.
    """

    name: str
    events: tuple[Event, ...]
    follow_up: bool
    reply_s: float
    next_at: float


_NAMES = tuple(onset + rhyme for onset in _ONSETS for rhyme in _RHYMES)


def _name(rng: np.random.Generator) -> str:
    return _NAMES[int(rng.integers(len(_NAMES)))]


def _listing(rng: np.random.Generator, size: int) -> bytes:
    """A list of names of exactly `size` bytes, at least one."""
    drawn = rng.integers(0, len(_NAMES), size // 3 + 1)
    return ", ".join(map(_NAMES.__getitem__, drawn.tolist()))[:size].encode()


def interactions(
    *, seed: int, count: int, follow_ups: float = 0.1, context_bytes: int = 1000, rate: float = 10.0
) -> list[Interaction]:
    """Generate `count` interactions; deterministic for a seed.

    follow_ups: share whose microphone reopens, in [0, 1]. context_bytes: size of the context list. rate:
    interactions a second. Raises ValueError outside the ranges.
    """
    if not 0 <= follow_ups <= 1 or min(count, context_bytes) < 1 or rate <= 0:
        raise ValueError(
            f"need follow_ups in [0, 1], count and context_bytes >= 1, rate > 0; got {follow_ups}, "
            f"{count}, {context_bytes}, {rate}"
        )
    rng = np.random.default_rng(seed)
    starts = np.cumsum(rng.exponential(1 / rate, count))
    return [
        _interaction(rng, f"i{seed}-{number}", float(start), bool(rng.random() < follow_ups), context_bytes)
        for number, start in enumerate(starts)
    ]


def _interaction(
    rng: np.random.Generator, name: str, start: float, follow_up: bool, context_bytes: int
) -> Interaction:
    who, other = _name(rng), _name(rng)
    asked = str(rng.choice(_ASKS)).format(who)
    reply = str(rng.choice(_ANSWERS if follow_up else _DONE)).format(who, other)
    reply_s = PAUSE_S + SECONDS_A_WORD * len(reply.split())
    heard = start + float(rng.uniform(0.8, 2.0))
    spoken = heard + float(rng.uniform(0.2, 0.6))
    end = Code.EXPECT if follow_up else Code.CLOSED
    listing = _listing(rng, context_bytes)
    events = (
        Event(name, Code.REQUEST, start),
        Event(name, Code.HEARD, heard, "utterance", asked.encode()),
        Event(name, Code.CONTEXT, heard + 0.02, str(rng.choice(_LISTS)), listing),
        Event(name, Code.SPEAK, spoken, "reply", reply.encode()),
        Event(name, end, spoken + 0.002),
    )
    pause = float(rng.uniform(0.2, 1.0)) if follow_up else 0.0
    return Interaction(name, events, follow_up, reply_s, spoken + reply_s + pause)


def deliveries(
    stream: Iterable[Interaction],
    *,
    seed: int,
    duplicates: float = 0.01,
    losses: float = 0.0,
    jitter_s: float = 0.02,
) -> list[tuple[float, Event]]:
    """Return (arrival, event) in order of arrival: delayed by up to `jitter_s` seconds, so that neighbours
    change places; a share delivered twice and a share not at all."""
    rng = np.random.default_rng(seed)
    found = []
    for interaction in stream:
        for event in interaction.events:
            if rng.random() < losses:
                continue
            copies = 1 + (rng.random() < duplicates)
            found += [(event.at + float(rng.uniform(0, jitter_s)), event) for _ in range(copies)]
    return sorted(found, key=lambda pair: pair[0])


def interactions_use(stream: Iterable[Interaction], *, seed: int, name: str) -> DatasetUse:
    """Return what a chapter notes of a stream: its digest and counts, under a name of the caller's."""
    digest, rows = hashlib.sha256(), {"interactions": 0, "events": 0, "follow-ups": 0}
    for interaction in stream:
        digest.update(repr(interaction).encode())
        rows["interactions"] += 1
        rows["events"] += len(interaction.events)
        rows["follow-ups"] += interaction.follow_up
    version = f"{VERSION}, seed {seed}"
    return DatasetUse(name, version, digest.hexdigest(), "CC0-1.0 (generated)", rows, __name__)


START_S = 1_700_000_000.0


def play(design: TwoTables, stream: Sequence[Interaction]) -> None:
    """Let one worker handle every event of a stream in order."""
    for interaction in stream:
        for event in interaction.events:
            drive(design.steps(event))
