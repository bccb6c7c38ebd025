"""The learner: a small speaker encoder and the similarity that it is trained through.

About 88,000 parameters, for the paper's encoder whose size was not read: batch-normalised log-mel frames,
three convolutions over time (the first takes every second frame, the others are dilated), mean and deviation
over time, one linear layer, length 1.

Axes: B utterances, T frames, M mel channels, D embedding, N speakers of a batch.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

EMBEDDING = 64


class Pool(nn.Module):
    """Mean and standard deviation over time."""

    def forward(self, x: Float[Tensor, "B C T"]) -> Float[Tensor, "B C2"]:
        """Twice the channels, without time."""
        variance = x.var(dim=2, correction=0)
        return torch.cat([x.mean(dim=2), (variance + 1e-5).sqrt()], dim=1)


class SpeakerEncoder(nn.Module):
    """Frames to an embedding of length 1."""

    def __init__(self, mels: int = 40, channels: int = 96, size: int = EMBEDDING) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(mels),
            nn.Conv1d(mels, channels, 5, stride=2),
            nn.ReLU(),
            nn.BatchNorm1d(channels),
            nn.Conv1d(channels, channels, 3, dilation=2),
            nn.ReLU(),
            nn.BatchNorm1d(channels),
            nn.Conv1d(channels, channels, 3, dilation=3),
            nn.ReLU(),
            Pool(),
            nn.BatchNorm1d(2 * channels),
            nn.Linear(2 * channels, size),
        )

    def forward(self, frames: Float[Tensor, "B T M"]) -> Float[Tensor, "B D"]:
        """Embeddings, each of length 1."""
        return nn.functional.normalize(self.layers(frames.transpose(1, 2)), dim=1)


class Similarity(nn.Module):
    """w cos + b between all queries and all supports; w stays positive because log w is what is learned.

    Clamping w in place of this is easily lost: `torch.clamp` returns its result and changes nothing.
    """

    def __init__(self, w: float = 10.0, b: float = -5.0) -> None:
        super().__init__()
        self.log_w = nn.Parameter(torch.tensor(math.log(w)))
        self.b = nn.Parameter(torch.tensor(b))

    def forward(self, query: Float[Tensor, "N D"], support: Float[Tensor, "N D"]) -> Float[Tensor, "N N"]:
        """S[i, j] of query i and support j; both have length 1."""
        return self.log_w.exp() * (query @ support.T) + self.b
