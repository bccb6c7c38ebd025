"""The streaming contract of encoders, and measures of how well an encoder keeps it.

An encoder maps frames (B, T, D) and their lengths to encodings (B, S, E) and theirs. A streaming encoder
gives the same encodings when the frames arrive in chunks: `step` takes a chunk and the state that the
previous call returned, and returns the encodings that became complete and the new state. A state is a tensor
or a nested tuple of tensors; `step` never changes the one it is given, so a caller may keep it and branch.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

State = Any  # a tensor, or a tuple of states


@runtime_checkable
class StreamingEncoder(Protocol):
    """What decoding, training and the streaming checks ask of an encoder."""

    def __call__(
        self, frames: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B S E"], Int[Tensor, " B"]]:
        """Encode whole utterances; values at and after a length do not reach the ones before it."""
        ...

    def initial_state(self, batch: int) -> State:
        """State before the first frame."""
        ...

    def step(self, frames: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B S E"], State]:
        """Encode the next chunk, of at least one frame."""
        ...


@torch.no_grad()
def stream(
    encoder: StreamingEncoder, frames: Float[Tensor, "B T D"], chunks: Sequence[int]
) -> Float[Tensor, "B S E"]:
    """Encodings of `frames` fed in chunks of the given sizes, which must be positive and sum to T."""
    if min(chunks, default=0) < 1 or sum(chunks) != frames.shape[1]:
        raise ValueError(f"chunks are {list(chunks)}; expected positive sizes that sum to {frames.shape[1]}")
    state, pieces = encoder.initial_state(len(frames)), []
    for start, end in pairwise([0, *accumulate(chunks)]):
        piece, state = encoder.step(frames[:, start:end], state)
        pieces.append(piece)
    return torch.cat(pieces, dim=1)


@torch.no_grad()
def streaming_gap(encoder: StreamingEncoder, frames: Float[Tensor, "B T D"], chunks: Sequence[int]) -> float:
    """Largest absolute difference between streamed and whole-utterance encodings."""
    lengths = torch.full((len(frames),), frames.shape[1])
    whole, _ = encoder(frames, lengths)
    return float((stream(encoder, frames, chunks) - whole).abs().max())


@torch.no_grad()
def future_leak(encoder: StreamingEncoder, frames: Float[Tensor, "B T D"], at: int) -> float:
    """Largest change of the encodings before frame `at` when every frame from `at` on is replaced.

    0 for an encoder without look-ahead. For encoders that give one encoding per frame.
    """
    if not 0 < at < frames.shape[1]:
        raise ValueError(f"at is {at}; expected 1..{frames.shape[1] - 1}")
    changed = frames.clone()
    changed[:, at:] = -3 * frames[:, at:] + 1
    lengths = torch.full((len(frames),), frames.shape[1])
    before, after = encoder(frames, lengths)[0], encoder(changed, lengths)[0]
    return float((before[:, :at] - after[:, :at]).abs().max())
