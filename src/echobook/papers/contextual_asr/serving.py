"""Context by way of the store: embedded while the assistant speaks, read with a deadline.

What the store keeps for a turn are the rows of its context, the no-bias row first, as float16: its workers
get texts by reference (`interaction#kind#number`) and give bytes. Lists are texts of entries separated by
commas. When the bytes are not there in time, there is no context, and the recogniser is the plain base.

Axes: K1 rows with the no-bias row, D entry width, T frames, E encoding.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from echobook.papers.contextual_asr.context import Context
from echobook.papers.contextual_asr.evaluation import search_batch
from echobook.papers.contextual_asr.model import ContextualTransducer
from echobook.papers.contextual_asr.training import ALL_KINDS
from echobook.papers.contextual_asr.vocabulary import Vocabulary
from echobook.speech.biasing.catalogues import Entry, catalogue
from echobook.speech.biasing.search import Candidate, SearchSettings
from echobook.store.vectors import pack, unpack

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
            found += [Entry(one.strip(), kind) for one in text.decode().split(",")]
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
        return pack(context.states[0].numpy().astype(np.float16))

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
