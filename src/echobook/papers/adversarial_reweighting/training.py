"""Training: the same batches for every arm, a learner's step after the weigher's, and a log of the weights.

Axes: N speakers of a batch, B utterances, L frames, M mel channels, D embedding, U utterances.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from echobook.papers.adversarial_reweighting.baselines import Weigher
from echobook.papers.adversarial_reweighting.material import Voices
from echobook.papers.adversarial_reweighting.method import Batch, Loss, even_weights, softmax_losses
from echobook.papers.adversarial_reweighting.model import Similarity, SpeakerEncoder


@dataclass(frozen=True)
class Plan:
    """How long and how: the same for all arms.

    Attributes:
        steps: updates of the learner; pretrain: share of them with weights 1.
        speakers: of a batch, two utterances of each; crop: frames of an utterance.
        rate, adversary_rate: of Adam, for the learner and for the adversary.
        regions: k-means regions; refresh: steps between two searches for them.
    """

    steps: int = 300
    pretrain: float = 0.25
    speakers: int = 24
    crop: int = 80
    rate: float = 2e-3
    adversary_rate: float = 1e-2
    regions: int = 8
    refresh: int = 25

    @property
    def first(self) -> int:
        """The first step with weights."""
        return round(self.pretrain * self.steps)


@dataclass
class WeightLog:
    """Weight and unweighted loss of every genuine pair since weights were used, and its speaker."""

    speaker: list[np.ndarray] = field(default_factory=list)
    weight: list[np.ndarray] = field(default_factory=list)
    loss: list[np.ndarray] = field(default_factory=list)

    def joined(self) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Speaker, weight and loss, one entry a pair and step."""
        return np.concatenate(self.speaker), np.concatenate(self.weight), np.concatenate(self.loss)


@dataclass(frozen=True)
class Trained:
    """An encoder after training, and the log of its weights."""

    encoder: SpeakerEncoder
    log: WeightLog


@dataclass(frozen=True)
class Draw:
    """One batch of crops: utterances (N, 2) and where each crop starts."""

    utterance: Int[np.ndarray, "N 2"]
    start: Int[np.ndarray, "N 2"]


def draws(voices: Voices, train: Int[np.ndarray, " n"], plan: Plan, *, seed: int) -> Iterator[Draw]:
    """Batches of different speakers, two different utterances of each.

    Raises ValueError for fewer training speakers than a batch has.
    """
    if len(train) < plan.speakers:
        raise ValueError(f"{len(train)} training speakers; a batch needs {plan.speakers} different ones")
    rng = np.random.default_rng((seed, 31))
    own = [np.flatnonzero(voices.speaker == speaker) for speaker in train]
    latest = voices.frames.shape[1] - plan.crop
    for _ in range(plan.steps):
        chosen = rng.permutation(len(train))[: plan.speakers]
        pairs = np.stack([rng.permutation(own[place])[:2] for place in chosen])
        yield Draw(pairs, rng.integers(0, latest + 1, pairs.shape))


def crops(frames: Float[Tensor, "U L M"], draw: Draw, length: int) -> Float[Tensor, "B T M"]:
    """The drawn pieces: all queries, then all supports."""
    utterance, start = draw.utterance.T.ravel(), draw.start.T.ravel()
    place = torch.from_numpy(start[:, None] + np.arange(length))  # (B, T)
    return frames[torch.from_numpy(utterance)[:, None], place]


def embed(encoder: SpeakerEncoder, frames: Float[Tensor, "U L M"]) -> Float[np.ndarray, "U D"]:
    """Embeddings in evaluation mode, whole utterances."""
    encoder.eval()
    with torch.no_grad():
        found = torch.cat([encoder(part) for part in frames.split(64)])
    encoder.train()
    return found.numpy()


def train(
    voices: Voices,
    speakers: Int[np.ndarray, " n"],
    weigher: Weigher,
    loss: Loss,
    plan: Plan,
    *,
    seed: int,
    watch: Callable[[int, SpeakerEncoder], None] | None = None,
) -> Trained:
    """Train an encoder on some speakers; start and batches follow from the seed alone.

    `watch` is called with the number of steps made and the encoder, before the first step and after each one.
    """
    torch.manual_seed(seed)
    encoder, similarity, log = SpeakerEncoder(), Similarity(), WeightLog()
    optimiser = torch.optim.Adam([*encoder.parameters(), *similarity.parameters()], lr=plan.rate)
    rows = voices.of(speakers)
    place = np.full(len(voices.speaker), -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    cells = voices.cells()
    for number, draw in enumerate(draws(voices, speakers, plan, seed=seed)):
        if watch is not None:
            watch(number, encoder)
        if number >= plan.first and (number - plan.first) % plan.refresh == 0:
            weigher.refresh(embed(encoder, voices.frames[torch.from_numpy(rows)]))
        query, support = encoder(crops(voices.frames, draw, plan.crop)).chunk(2)
        s = similarity(query, support)
        speaker = voices.speaker[draw.utterance[:, 0]]
        weights = even_weights(len(s))
        if number >= plan.first:
            first, second = place[draw.utterance.T]
            batch = Batch(query, support, first, second, cells[speaker])
            weights = weigher.step(s, batch)
            log.speaker.append(speaker)
            log.weight.append(weights.positive.detach().numpy())
            log.loss.append(softmax_losses(s.detach(), torch.ones_like(s)).numpy())
        optimiser.zero_grad()
        loss(s, weights).backward()
        optimiser.step()
    if watch is not None:
        watch(plan.steps, encoder)
    return Trained(encoder, log)
