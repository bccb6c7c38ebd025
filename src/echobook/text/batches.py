"""Token batches of texts or text pairs: truncation counted, lengths bucketed, padding to multiples of 16.

An order of examples is drawn from a seed and an epoch alone, cut into pools of many batches; inside a pool
examples are sorted by length, so that a batch holds similar lengths, and the batches are shuffled again. The
order is a pure function of (lengths, seed, epoch), which is what lets a killed run resume exactly.

Letters: B batch, T tokens (the padded length), N examples. A fixed grid of lengths (multiples of 16) also
keeps memory flat, as CPU kernels cache a plan for each shape that they meet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

MULTIPLE = 16
POOL = 16  # batches sorted by length together


@dataclass(frozen=True)
class Encoded:
    """Tokenised examples, not padded.

    Attributes:
        ids: token ids of each of the N examples.
        types: segment of each token (0 question, 1 candidate).
        truncated: examples that were longer than the limit and were cut.
        pad: id of the padding token.
    """

    ids: tuple[tuple[int, ...], ...]
    types: tuple[tuple[int, ...], ...]
    truncated: int
    pad: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> Int[np.ndarray, " N"]:
        """Tokens of each example."""
        return np.array([len(row) for row in self.ids], dtype=np.int64)


@dataclass(frozen=True)
class Batch:
    """One padded batch; ``mask`` is 1 on tokens and 0 on padding, ``types`` the segments."""

    ids: Int[Tensor, "B T"]
    mask: Int[Tensor, "B T"]
    types: Int[Tensor, "B T"]


def encode_texts(
    tokenizer: Any, first: Sequence[str], second: Sequence[str] | None = None, *, max_tokens: int = 128
) -> Encoded:
    """Tokenise texts or pairs; of a pair that is too long the longer side loses tokens first.

    Raises:
        ValueError: no texts, sides of unequal number, a blank text (position named), a limit below 5.
    """
    if second is not None and len(second) != len(first):
        raise ValueError(f"second: expected {len(first)} texts, one for each first, got {len(second)}")
    if not first or max_tokens < 5:
        raise ValueError(f"expected texts and max_tokens >= 5, got {len(first)} and {max_tokens}")
    for name, texts in (("first", first), ("second", second or ())):
        for position, text in enumerate(texts):
            if not text.strip():
                raise ValueError(f"{name}[{position}]: expected a text that is not blank, got {text!r}")
    sides = [list(first)] if second is None else [list(first), list(second)]
    whole = _tokens(tokenizer, sides, truncation=False)
    long = [row for row, ids in enumerate(whole[0]) if len(ids) > max_tokens]
    if long:  # only these are read twice
        some = [[side[row] for row in long] for side in sides]
        cut = _tokens(tokenizer, some, truncation="longest_first", max_length=max_tokens)
        for rows, shorter in zip(whole, cut, strict=True):
            for row, values in zip(long, shorter, strict=True):
                rows[row] = values
    ids, types = map(tuple, whole)
    return Encoded(ids, types, len(long), int(tokenizer.pad_token_id))


def _tokens(
    tokenizer: Any, sides: list[list[str]], **options: Any
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Token ids and segments of each text or pair."""
    found = tokenizer(
        *sides, return_token_type_ids=True, return_attention_mask=False, verbose=False, **options
    )
    return [tuple(ids) for ids in found["input_ids"]], [tuple(types) for types in found["token_type_ids"]]


def pad_batch(encoded: Encoded, rows: Sequence[int], *, multiple: int = MULTIPLE) -> Batch:
    """Examples ``rows`` padded to the next multiple of ``multiple`` tokens."""
    longest = max(len(encoded.ids[row]) for row in rows)
    width = -(-longest // multiple) * multiple
    ids = torch.full((len(rows), width), encoded.pad)
    mask, types = torch.zeros_like(ids), torch.zeros_like(ids)
    for place, row in enumerate(rows):
        size = len(encoded.ids[row])
        ids[place, :size] = torch.tensor(encoded.ids[row])
        types[place, :size] = torch.tensor(encoded.types[row])
        mask[place, :size] = 1
    return Batch(ids, mask, types)


def epoch_batches(
    lengths: Int[np.ndarray, " N"], batch_size: int, *, seed: int, epoch: int
) -> list[list[int]]:
    """Row numbers of each batch of one epoch; every row once, the same for the same arguments.

    Raises:
        ValueError: a batch size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    batches: list[list[int]] = []
    for start in range(0, len(order), POOL * batch_size):
        pool = order[start : start + POOL * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[i : i + batch_size].tolist() for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in random.permutation(len(batches))]
