"""The best alignment of labels to frames in a transducer's lattice, and the loss along it.

A path through the lattice takes, at cell (t, u), the blank to (t + 1, u) or label u + 1 to (t, u + 1); its
score is the sum of the log-probabilities of its moves (Graves 2012). With

    best(t, u) = max(best(t - 1, u) + blank(t - 1, u), best(t, u - 1) + label(t, u - 1))

the best path is read backwards from the closing blank at (T - 1, U); where both ways tie, the blank wins.
Where a frozen base has been aligned once, what is trained on top of it need look at the T + U cells of this
path only, and not at all T (U + 1) of the lattice: the sum over all paths is replaced by its largest term.

Axes: B utterances, T frames, U1 = U + 1, E encoding, V classes, N moves of a path.
Cost: O(T U) steps on B utterances for the path; O(N V) for the loss.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from echobook.speech.biasing.phonemes import BLANK
from echobook.speech.transducer import emission_scores


class Path(NamedTuple):
    """Frame, number of labels before, and class written, of each move of one utterance."""

    times: Int[Tensor, " N"]
    rows: Int[Tensor, " N"]
    classes: Int[Tensor, " N"]


@torch.no_grad()
def best_paths(
    logits: Float[Tensor, "B T U1 V"],
    labels: Int[Tensor, "B U"],
    frame_lengths: Int[Tensor, " B"],
    label_lengths: Int[Tensor, " B"],
) -> list[Path]:
    """The best path of each utterance; arguments as of `transducer_loss`."""
    _, stay, write = emission_scores(logits, labels, frame_lengths, label_lengths, blank=BLANK)
    written = _written(stay, write)
    sizes = zip(frame_lengths.tolist(), label_lengths.tolist(), strict=True)
    return [_read(written[i], labels[i], *size) for i, size in enumerate(sizes)]


def _written(stay: Float[Tensor, "B T U1"], write: Float[Tensor, "B T U1"]) -> Tensor:
    """Whether the best way into each cell writes a label."""
    _, frames, rows = stay.shape
    best = torch.full_like(stay, -torch.inf)
    best[:, 0, 0] = 0
    written = torch.zeros(stay.shape, dtype=torch.bool)
    for t in range(frames):
        for u in range(rows):
            if t:
                best[:, t, u] = best[:, t - 1, u] + stay[:, t - 1, u]
            if u:
                over = best[:, t, u - 1] + write[:, t, u - 1]
                written[:, t, u] = over > best[:, t, u]
                best[:, t, u] = torch.maximum(best[:, t, u], over)
    return written


def _read(written: Tensor, labels: Int[Tensor, " U"], frames: int, count: int) -> Path:
    """The moves of one utterance, from the closing blank backwards."""
    came, listed = written.tolist(), labels.tolist()
    t, u = frames - 1, count
    moves = [(t, u, BLANK)]
    while t or u:
        if came[t][u]:
            u -= 1
            moves.append((t, u, listed[u]))
        else:
            t -= 1
            moves.append((t, u, BLANK))
    columns = torch.tensor(moves[::-1], dtype=torch.long)
    return Path(columns[:, 0], columns[:, 1], columns[:, 2])


class Paths(NamedTuple):
    """Paths of a batch, padded with class -1."""

    times: Int[Tensor, "B N"]
    rows: Int[Tensor, "B N"]
    classes: Int[Tensor, "B N"]


def collate_paths(paths: Sequence[Path]) -> Paths:
    """Paths side by side."""
    pad = nn.utils.rnn.pad_sequence
    times, rows = (pad([path[i] for path in paths], batch_first=True) for i in (0, 1))
    return Paths(times, rows, pad([path.classes for path in paths], batch_first=True, padding_value=-1))


def pick(stream: Float[Tensor, "B S E"], places: Int[Tensor, "B N"]) -> Float[Tensor, "B N E"]:
    """The stream's vectors at these places of each utterance."""
    return stream.gather(1, places[..., None].expand(-1, -1, stream.shape[2]))


def path_loss(logits: Float[Tensor, "B N V"], paths: Paths) -> Float[Tensor, ""]:
    """Mean over utterances of minus the log-probability of the path, from the logits of its cells."""
    flat, targets = logits.flatten(0, 1), paths.classes.flatten()
    total = nn.functional.cross_entropy(flat, targets, ignore_index=-1, reduction="sum")
    return total / len(paths.classes)
