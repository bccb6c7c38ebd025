"""Context by way of the store: embedded while the assistant speaks, read with a deadline.

What the store keeps for a turn are the rows of its context, the no-bias row first, as float16: its workers
get texts by reference (`interaction#kind#number`) and give bytes. Lists are texts of entries separated by
commas. When the bytes are not there in time, there is no context, and the recogniser is the plain base.

Lateness is played on the protocol's own steps with a clock that is set: embedding takes a log-normal time,
and the user answers when the reply has been spoken (0.3 s, and 0.38 s a word) and 0.2 to 1 s of thinking are
over. These times are assumed, not measured.

Axes: K1 rows with the no-bias row, D entry width, T frames, E encoding.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from echobook.papers.contextual_asr.context import Context
from echobook.papers.contextual_asr.evaluation import Outcome, outcome, search_batch
from echobook.papers.contextual_asr.material import Turn
from echobook.papers.contextual_asr.model import ContextualTransducer
from echobook.papers.contextual_asr.training import ALL_KINDS
from echobook.papers.contextual_asr.vocabulary import Vocabulary
from echobook.speech.biasing.catalogues import Entry, catalogue
from echobook.speech.biasing.search import Candidate, SearchSettings
from echobook.store.events import Code, Event
from echobook.store.protocol import TwoTables, drive
from echobook.store.vectors import pack, unpack

SPREAD = 0.5  # of the logarithm of the embedding time
LISTS = {"contacts": "contact", "devices": "device", "places": "place"}


def stored_text(entries: tuple[Entry, ...], kind: str) -> bytes:
    """The entries of one kind as a text of the store."""
    return ", ".join(entry.text for entry in entries if entry.kind == kind).encode()


def listed_entries(texts: Mapping[str, bytes], vocabulary: Vocabulary) -> list[Entry]:
    """Entries in the lists among an interaction's texts; those the lexicon cannot spell are passed over."""
    found = []
    for reference, text in texts.items():
        kind = LISTS.get(reference.split("#")[1] if "#" in reference else "")
        if kind is not None:
            found += [Entry(one.strip(), kind) for one in text.decode(errors="replace").split(",")]
    known = vocabulary.lexicon.words
    return [entry for entry in found if entry.text and all(word in known for word in entry.text.split())]


def embedder(model: ContextualTransducer, vocabulary: Vocabulary) -> Callable[[Mapping[str, bytes]], bytes]:
    """What a worker of the store calls: texts by reference to the bytes of a context."""

    @torch.no_grad()
    def embed(texts: Mapping[str, bytes]) -> bytes:
        entries = listed_entries(texts, vocabulary)
        labels = {entry.text: vocabulary.lexicon.labels(entry.text) for entry in entries}
        model.eval()
        context = model.context(catalogue([entries], labels, ALL_KINDS))
        return pack(context.states[0][context.listed[0]].numpy().astype(np.float16))

    return embed


def context_of(data: bytes | None) -> Context | None:
    """Context of one turn from the store's bytes; None when there are none.

    Raises StoreError for bytes that are not a context.
    """
    if data is None:
        return None
    states = torch.from_numpy(unpack(data).astype(np.float32))[None]  # (1, K1, D)
    return Context(states, torch.ones(states.shape[:2], dtype=torch.bool))


@torch.no_grad()
def recognise_stored(
    model: ContextualTransducer,
    vocabulary: Vocabulary,
    encodings: Float[Tensor, "T E"],
    settings: SearchSettings,
    data: bytes | None,
) -> list[Candidate]:
    """Texts of one turn from the base's encodings and the store's answer; None is the plain recogniser."""
    model.eval()
    context = context_of(data)
    prepared = None if context is None else model.project(context)
    return search_batch(model, vocabulary, [encodings], settings, prepared, None)[0]


@torch.no_grad()
def recognise_all_stored(
    model: ContextualTransducer,
    vocabulary: Vocabulary,
    turns: Sequence[Turn],
    encodings: Sequence[Tensor],
    settings: SearchSettings,
    data: Sequence[bytes | None],
    *,
    batch: int = 50,
) -> Outcome:
    """The outcome of turns with the store's answer to each; turns without one are heard by the plain base."""
    model.eval()
    found: list[list[Candidate]] = [[] for _ in turns]
    ready = [i for i, answer in enumerate(data) if answer is not None]
    late = [i for i, answer in enumerate(data) if answer is None]
    for group in (ready, late):
        for start in range(0, len(group), batch):
            own = group[start : start + batch]
            context = _joined([context_of(data[i]) for i in own])
            prepared = None if context is None else model.project(context)
            heard = [encodings[i] for i in own]
            results = search_batch(model, vocabulary, heard, settings, prepared, None)
            for i, candidates in zip(own, results, strict=True):
                found[i] = candidates
    return outcome(turns, found)


def _joined(contexts: Sequence[Context | None]) -> Context | None:
    """Contexts of one turn each as one batch, padded; None when there are none."""
    some = [context for context in contexts if context is not None]
    if not some:
        return None
    most = max(context.states.shape[1] for context in some)
    pads = [(0, most - context.states.shape[1]) for context in some]
    states = [nn.functional.pad(c.states, (0, 0, *pad)) for c, pad in zip(some, pads, strict=True)]
    listed = [nn.functional.pad(c.listed, pad) for c, pad in zip(some, pads, strict=True)]
    return Context(torch.cat(states), torch.cat(listed))


@dataclass
class SetClock:
    """A clock that shows what it was set to, in seconds."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def events_of(name: str, turn: Turn, entries: tuple[Entry, ...]) -> list[Event]:
    """What the store hears of the turn before: its words, the reply, the lists, and that an answer is due."""
    said = [("utterance", b"a request"), ("reply", turn.assistant.encode() or b"yes")]
    said += [(kind, stored_text(entries, entry)) for kind, entry in LISTS.items()]
    told = [Event(name, Code.CONTEXT, 0.0, kind, text) for kind, text in said]
    return [*told, Event(name, Code.EXPECT)]


def play_turn(
    design: TwoTables, clock: SetClock, events: Sequence[Event], *, embed_s: float, window_s: float
) -> bytes | None:
    """What the recogniser reads when the user answers, `window_s` after the last event, if embedding takes
    `embed_s`. The worker goes on afterwards, so that a late vector does arrive."""
    began = clock.now
    for event in events[:-1]:
        drive(design.steps(event))
    steps = design.steps(events[-1])
    answer: bytes | None = None
    for place in steps:
        if place != "put-vector":
            continue
        if embed_s > window_s:
            clock.now = began + window_s
            answer = design.read(events[-1].interaction)
        clock.now = began + embed_s
    if embed_s <= window_s:
        clock.now = began + window_s
        answer = design.read(events[-1].interaction)
    return answer


def read_turns(
    design: TwoTables,
    clock: SetClock,
    turns: Sequence[Turn],
    lists: Iterable[tuple[Entry, ...]],
    *,
    median_s: float,
    seed: int,
) -> list[bytes | None]:
    """The store's answer to each turn when embedding takes a median of `median_s` s.

    The same seed draws the same luck for every median. Raises ValueError for a median
    that is not positive.
    """
    if not median_s > 0:
        raise ValueError(f"median_s is {median_s}; expected a positive number")
    rng = np.random.default_rng(seed)
    found = []
    for i, (turn, entries) in enumerate(zip(turns, lists, strict=True)):
        embed_s = median_s * math.exp(SPREAD * rng.normal())
        window_s = 0.3 + 0.38 * len(turn.assistant.split()) + rng.uniform(0.2, 1.0)
        events = events_of(f"turn-{i}-{median_s}", turn, entries)
        times = {"embed_s": embed_s, "window_s": window_s}
        found.append(play_turn(design, clock, events, **times))
    return found
