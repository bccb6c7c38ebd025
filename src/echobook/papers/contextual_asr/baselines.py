"""Rescoring of n-best lists with what was said before.

US patent 11,043,214, claim 1, in a small form of ours: a trained model reads the previous words and then each
hypothesis, and its score is added to the recogniser's. Words of both sides go through one bidirectional LSTM
over phonemes; each word w of a hypothesis attends to the previous words (and to a learned null row), and a
small network scores [w; attended; w * attended]. The score of a hypothesis is the sum over its words. Trained
with cross-entropy over each list, the target being the candidate that equals the reference; lists without it
teach nothing and are left out.

Axes: P distinct words, W words of one hypothesis, M previous words, D word width.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from echobook.papers.contextual_asr.context import ContextEncoder
from echobook.speech.biasing.catalogues import Catalogue
from echobook.speech.biasing.phonemes import Pronunciation
from echobook.speech.biasing.search import Candidate
from echobook.speech.training import TrainingSettings, learning_rate


class Choice(NamedTuple):
    """Candidates of one turn, the words before it, and which candidate is right (None: not listed)."""

    candidates: tuple[Candidate, ...]
    previous: tuple[str, ...]
    right: int | None


def choices(
    candidates: Sequence[Sequence[Candidate]], previous: Sequence[Sequence[str]], texts: Sequence[str]
) -> list[Choice]:
    """One choice per turn; `texts` are the references."""
    found = []
    for listed, before, text in zip(candidates, previous, texts, strict=True):
        places = [i for i, candidate in enumerate(listed) if candidate.text == text]
        found.append(Choice(tuple(listed), tuple(before), places[0] if places else None))
    return found


class Rescorer(nn.Module):
    """Second score of each candidate from the previous words; zero before training."""

    def __init__(self, classes: int, *, size: int = 48) -> None:
        super().__init__()
        self.words: Any = ContextEncoder(
            classes, kinds=0, embedding=32, hidden=size, size=size, by_phoneme=False
        )
        self.score = nn.Sequential(nn.Linear(3 * size, size), nn.ReLU(), nn.Linear(size, 1))
        nn.init.zeros_(self.score[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.score[2].bias)  # type: ignore[arg-type]

    def encode(self, labels: dict[str, Pronunciation], choices: Sequence[Choice]) -> dict[str, Tensor]:
        """Vector of every word that occurs; previous words without labels are passed over."""
        said = (word for choice in choices for word in choice.previous)
        heard = (w for choice in choices for c in choice.candidates for w in c.text.split())
        words = [word for word in dict.fromkeys([*said, *heard]) if word in labels]
        strings = tuple(labels[word] for word in words)
        rows = torch.zeros(0, 0, dtype=torch.long)
        vectors = self.words.entries(Catalogue(strings, torch.zeros(len(words), dtype=torch.long), rows))[
            :, 0
        ]
        return dict(zip(words, vectors, strict=True))

    def forward(self, choice: Choice, vectors: dict[str, Tensor]) -> Float[Tensor, " C"]:
        """Second score of each candidate."""
        before = [vectors[word] for word in choice.previous if word in vectors]
        rows = torch.stack([self.words.null_row, *before])  # (M + 1, D)
        return torch.stack([self._one(c.text.split(), rows, vectors) for c in choice.candidates])

    def _one(
        self, words: Sequence[str], rows: Float[Tensor, "M D"], vectors: dict[str, Tensor]
    ) -> Float[Tensor, ""]:
        if not words:
            return rows.new_zeros(())
        own = torch.stack([vectors[word] for word in words])  # (W, D)
        attended = (own @ rows.T / rows.shape[1] ** 0.5).softmax(-1) @ rows
        return self.score(torch.cat([own, attended, own * attended], 1)).sum()


def train_rescorer(
    model: Rescorer,
    training: Sequence[Choice],
    labels: dict[str, Pronunciation],
    settings: TrainingSettings,
) -> list[float]:
    """Train in place; the loss of each step. Raises ValueError when no list holds its reference."""
    usable = [choice for choice in training if choice.right is not None and len(choice.candidates) > 1]
    if not usable:
        raise ValueError("no list of candidates holds its reference next to another; nothing to learn from")
    optimiser = torch.optim.Adam(model.parameters())
    generator = torch.Generator().manual_seed(settings.seed)
    losses = []
    model.train()
    for step in range(1, settings.steps + 1):
        places = torch.randint(len(usable), (settings.batch_size,), generator=generator).tolist()
        batch = [usable[i] for i in places]
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, settings)
        optimiser.zero_grad()
        loss = _loss(model, batch, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimiser.step()
        losses.append(float(loss.detach()))
    model.eval()
    return losses


def _loss(model: Rescorer, batch: Sequence[Choice], labels: dict[str, Pronunciation]) -> Tensor:
    vectors = model.encode(labels, batch)
    rows = [first_scores(choice) + model(choice, vectors) for choice in batch]
    targets = [int(choice.right or 0) for choice in batch]
    return torch.stack([-row.log_softmax(0)[i] for row, i in zip(rows, targets, strict=True)]).mean()


def first_scores(choice: Choice) -> Float[Tensor, " C"]:
    """The recogniser's own scores."""
    return torch.tensor([candidate.score for candidate in choice.candidates])


@torch.no_grad()
def rescored(
    model: Rescorer, choices: Sequence[Choice], labels: dict[str, Pronunciation]
) -> list[list[Candidate]]:
    """Candidates of each turn by first plus second score, best first; their own scores stay as they were."""
    model.eval()
    found: list[list[Candidate]] = []
    for choice in choices:
        if not choice.candidates:
            found.append([])
            continue
        total = first_scores(choice) + model(choice, model.encode(labels, [choice]))
        order = total.argsort(descending=True, stable=True).tolist()
        found.append([choice.candidates[i] for i in order])
    return found
