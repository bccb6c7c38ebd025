"""What one more interaction costs: time, arithmetic and memory against the length of the history.

Arithmetic counts multiply-adds of linear layers and attention, the terms that grow. Letters as in `model`:
width E, slots M, block N, layers, S interactions so far; feed-forward layers have width 2 E.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from echobook.papers.incremental_user_embedding.baselines import FullHistory
from echobook.papers.incremental_user_embedding.experiment import Sizes
from echobook.papers.incremental_user_embedding.model import Personal
from echobook.papers.incremental_user_embedding.serving import Profile, new_profile, observe


def encoder_work(tokens: int, sizes: Sizes) -> int:
    """Multiply-adds of an encoder: projections and feed-forward 8 E^2 a token, attention 2 E a pair."""
    e = sizes.width
    return sizes.layers * tokens * (8 * e * e + 2 * tokens * e)


def incremental_work(sizes: Sizes) -> float:
    """Multiply-adds of an update with its gate, spread over the N interactions of the block."""
    gate = 2 * sizes.slots * sizes.width**2
    return (encoder_work(sizes.slots + sizes.block, sizes) + gate) / sizes.block


def full_work(seen: int, sizes: Sizes) -> int:
    """Multiply-adds of encoding ``seen`` interactions anew."""
    return encoder_work(seen, sizes)


def cached_work(seen: int, sizes: Sizes) -> int:
    """The same when keys and values of a causal encoder are kept: one token's layers, attention to all."""
    return sizes.layers * (8 * sizes.width**2 + 2 * seen * sizes.width)


def profile_floats(sizes: Sizes) -> int:
    """Most numbers that are kept of a user: M slots and N - 1 interactions."""
    return (sizes.slots + sizes.block - 1) * sizes.width


def cached_floats(seen: int, sizes: Sizes) -> int:
    """Numbers kept of a user whose keys and values are kept in every layer."""
    return 2 * sizes.layers * seen * sizes.width


@dataclass(frozen=True)
class Timed:
    """Milliseconds of CPU an interaction when ``seen`` have gone before, and numbers kept afterwards."""

    seen: int
    ms: float
    floats: int


def _cpu_ms(call: Callable[[], object], repeats: int) -> float:
    spans = []
    for _ in range(repeats):
        started = time.process_time()
        call()
        spans.append(1000 * (time.process_time() - started))
    return min(spans)


def time_updates(
    model: Personal, x: Tensor, labels: Sequence[int], marks: Sequence[int], *, around: int = 8
) -> list[Timed]:
    """Observe interactions one after the other; CPU time an interaction just after each mark.

    Args:
        x, labels: texts and labels that are gone through again and again.
        marks: numbers of interactions, increasing.
        around: interactions that are timed after each mark; the median of five such spans counts.
    """
    profile, found = new_profile(model), []
    for mark in marks:
        profile = _observe_many(model, profile, x, labels, mark - profile.seen)
        spans = []
        for _ in range(5):
            started = time.process_time()
            profile = _observe_many(model, profile, x, labels, around)
            spans.append(1000 * (time.process_time() - started) / around)
        found.append(Timed(mark, sorted(spans)[2], profile.floats))
    return found


def _observe_many(model: Personal, profile: Profile, x: Tensor, labels: Sequence[int], count: int) -> Profile:
    for _ in range(count):
        place = profile.seen % len(labels)
        profile = observe(model, profile, x[place], labels[place])
    return profile


def time_full(history: FullHistory, width: int, marks: Sequence[int]) -> list[Timed]:
    """CPU time of encoding a history anew, at each length; the whole history of texts has to be kept."""
    found = []
    for seen in marks:
        h = torch.zeros(1, seen, width)
        mask = torch.nn.Transformer.generate_square_subsequent_mask(seen)
        encode = partial(history.encoder, h, mask=mask, is_causal=True)
        with torch.no_grad():
            found.append(Timed(seen, _cpu_ms(encode, 3), seen * width))
    return found
