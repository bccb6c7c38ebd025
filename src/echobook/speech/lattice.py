"""Forward-backward sums over a transducer lattice, swept one anti-diagonal at a time.

Graves, "Sequence Transduction with Recurrent Neural Networks" (2012), eqs. 16-18. A node (t, u) means: frame
t is being read and u labels have been written. Two moves leave it: blank, to (t+1, u), and label u+1, to (t,
u+1). With b the score of the blank move and l of the label move (both log-probabilities),

    alpha[t, u] = logaddexp(alpha[t-1, u] + b[t-1, u], alpha[t, u-1] + l[t, u-1])     alpha[0, 0] = 0
    beta[t, u]  = logaddexp(beta[t+1, u] + b[t, u],    beta[t, u+1] + l[t, u])        beta[T, U]  = 0

and beta[0, 0] = log P(labels | frames): every path ends with the blank that leaves (T-1, U).

Axes: B utterances, T frames, U labels, U1 = U+1 rows, N = T+U1 anti-diagonals (n = t+u).
Cost: O(B T U1) time and memory, in T+U vectorised steps for each direction. All sums run in float64: the
lattice is V times smaller than the logits, so precision is free here.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

NEVER = float("-inf")


class Occupancy(NamedTuple):
    """Posterior probability that the alignment takes each move, and the evidence."""

    log_likelihood: Float[Tensor, " B"]
    blank: Float[Tensor, "B T U1"]
    label: Float[Tensor, "B T U1"]


def mask_outside(
    blank: Float[Tensor, "B T U1"],
    label: Float[Tensor, "B T U1"],
    frame_lengths: Int[Tensor, " B"],
    label_lengths: Int[Tensor, " B"],
) -> tuple[Float[Tensor, "B T U1"], Float[Tensor, "B T U1"]]:
    """Close every move that starts outside its utterance: frames >= T_i, rows > U_i, and labels on row
    U_i."""
    frames = torch.arange(blank.shape[1], device=blank.device)[None, :, None]
    rows = torch.arange(blank.shape[2], device=blank.device)[None, None, :]
    late = frames >= frame_lengths[:, None, None]  # (B, T, 1)
    last = label_lengths[:, None, None]
    return blank.masked_fill(late | (rows > last), NEVER), label.masked_fill(late | (rows >= last), NEVER)


def to_diagonals(cells: Float[Tensor, "B T U1"]) -> Float[Tensor, "N B U1"]:
    """Rearrange cells so that step n of the result holds the cells with t + u = n; the rest is -inf."""
    _, frames, rows = cells.shape
    row = torch.arange(rows, device=cells.device)
    time = torch.arange(frames + rows, device=cells.device)[:, None] - row  # (N, U1)
    skewed = cells[:, time.clamp(0, frames - 1), row]  # (B, N, U1)
    return skewed.masked_fill((time < 0) | (time >= frames), NEVER).transpose(0, 1).contiguous()


def from_diagonals(diagonals: Float[Tensor, "N B U1"], frames: int) -> Float[Tensor, "B T U1"]:
    """Undo `to_diagonals`."""
    row = torch.arange(diagonals.shape[2], device=diagonals.device)
    step = torch.arange(frames, device=diagonals.device)[:, None] + row  # (T, U1)
    return diagonals.transpose(0, 1)[:, step, row]


def forward_scores(
    blank: Float[Tensor, "N B U1"],
    label: Float[Tensor, "N B U1"],
) -> Float[Tensor, "N B U1"]:
    """alpha on diagonals: log-sum of the scores of all partial paths to each node."""
    alpha = torch.full_like(blank, NEVER)
    alpha[0, :, 0] = 0
    for n in range(1, alpha.shape[0]):
        alpha[n] = alpha[n - 1] + blank[n - 1]
        written = alpha[n - 1, :, :-1] + label[n - 1, :, :-1]  # (B, U)
        torch.logaddexp(alpha[n, :, 1:], written, out=alpha[n, :, 1:])
    return alpha


def backward_scores(
    blank: Float[Tensor, "N B U1"],
    label: Float[Tensor, "N B U1"],
    frame_lengths: Int[Tensor, " B"],
    label_lengths: Int[Tensor, " B"],
) -> Float[Tensor, "N B U1"]:
    """beta on diagonals: log-sum of the scores of all ways from a node to the end."""
    beta = torch.full_like(blank, NEVER)
    utterances = torch.arange(beta.shape[1], device=beta.device)
    # the node past the closing blank
    beta[frame_lengths + label_lengths, utterances, label_lengths] = 0
    for n in range(beta.shape[0] - 2, -1, -1):
        step = beta[n + 1] + blank[n]
        written = beta[n + 1, :, 1:] + label[n, :, :-1]  # (B, U)
        torch.logaddexp(step[:, :-1], written, out=step[:, :-1])
        # keeps the zero of utterances that end on this diagonal
        torch.maximum(beta[n], step, out=beta[n])
    return beta


def occupancy(
    blank: Float[Tensor, "B T U1"],
    label: Float[Tensor, "B T U1"],
    frame_lengths: Int[Tensor, " B"],
    label_lengths: Int[Tensor, " B"],
    *,
    moves: bool = True,
) -> Occupancy:
    """log P of each utterance; for each cell, its posterior shares of blank and label.

    `blank` and `label` are log scores of the two moves; the last row of `label` is
    ignored. Lengths are at least 1 frame and 0 labels (the caller checks). Per
    utterance the blank occupancies sum to T_i and the label occupancies to U_i; outside
    the utterance both are exactly 0. With `moves=False` only the evidence is computed
    and the occupancies come back empty, shape (B, 0, U1). An utterance that no path can
    explain has log P = -inf and NaN occupancies.
    """
    frames = blank.shape[1]
    moves_ = mask_outside(blank.double(), label.double(), frame_lengths, label_lengths)
    stay, write = (to_diagonals(cells) for cells in moves_)
    beta = backward_scores(stay, write, frame_lengths, label_lengths)
    evidence = beta[0, :, 0]
    if not moves:
        empty = blank.new_empty((blank.shape[0], 0, blank.shape[2]))
        return Occupancy(evidence, empty, empty)
    arrive = forward_scores(stay, write) - evidence[:, None]  # (N, B, U1)
    stay[:-1] += arrive[:-1] + beta[1:]
    write[:-1, :, :-1] += arrive[:-1, :, :-1] + beta[1:, :, 1:]
    stay, write = (from_diagonals(cells, frames).exp_() for cells in (stay, write))
    return Occupancy(evidence, stay, write)
