"""A start off the plateau: the encoder learns to tell words apart before the transducer is trained.

From random weights a transducer first learns to write blanks only, and stays there for thousands of updates:
while the encodings say nothing, the blank is the best answer everywhere, and while the answer is blank, the
encodings get hardly any gradient. So three stages, each an ordinary run of `echobook.speech.training.train`:

    1. classify: softmax(W mean_t tanh(encoder(x)[t]) + b) of isolated words, cross-entropy; W and b are
                 thrown away; tanh is what the joiner does, so that no encoding grows out of its reach
    2. words:    the transducer on isolated words, the encoder held fixed: a fresh joiner first asks for
                 blanks everywhere, and an encoder that follows it forgets its words within fifty updates
    3. strings:  the whole transducer on strings, weights kept by the development score

Only the encoder's `forward(frames, lengths) -> (encodings, lengths)` is used, so that every encoder gets the
same start with the same number of updates on the same batches. Every random choice follows from the recipe's
seed; with a folder each stage has a checkpoint there, and a run that was killed in any stage goes on from the
last one to the same bits.

Axes: B utterances, T frames, D features, S encodings, E encoding, K words.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from echobook.speech.training import Example, History, TrainingSettings, train

Augment = Callable[[Tensor, torch.Generator], Tensor]


class WordClassifier(nn.Module):
    """Mean of tanh of the encodings, then a linear layer; row k - 1 is class k of the labels."""

    def __init__(self, encoder: nn.Module, size: int, words: int) -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.output = nn.Linear(size, words)

    def forward(self, frames: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B K"]:
        """Scores of the words."""
        encodings, lengths = self.encoder(frames, lengths)
        return self.output(mean_encoding(torch.tanh(encodings), lengths))

    def loss(
        self,
        frames: Float[Tensor, "B T D"],
        lengths: Int[Tensor, " B"],
        labels: Int[Tensor, "B one"],
        label_lengths: Int[Tensor, " B"],
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy in nats; the arguments are those of `Transducer.loss`."""
        return nn.functional.cross_entropy(self(frames, lengths), labels[:, 0] - 1)


def mean_encoding(encodings: Float[Tensor, "B S E"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B E"]:
    """Mean over each utterance's own encodings, padding left out."""
    real = torch.arange(encodings.shape[1], device=encodings.device) < lengths[:, None]
    total = torch.where(real[..., None], encodings, 0.0).sum(1)
    return total / lengths[:, None].to(total.dtype)


@dataclass(frozen=True)
class Recipe:
    """Settings of the three stages; None leaves one out, for a cold start."""

    classify: TrainingSettings | None
    words: TrainingSettings | None
    strings: TrainingSettings

    @property
    def updates(self) -> int:
        """Updates of all stages together: what compared models have in common."""
        return sum(stage.steps for stage in (self.classify, self.words, self.strings) if stage is not None)

    def cold(self) -> "Recipe":
        """The same number of updates without the warm start, all of them on strings."""
        return Recipe(None, None, replace(self.strings, steps=self.updates))


def recipe(
    *,
    seed: int,
    strings: int,
    rate: float = 1e-3,
    classify: int = 600,
    words: int = 150,
    batch_size: int = 16,
    evaluate_every: int = 150,
    drop_at: float = 0.75,
) -> Recipe:
    """The recipe of the speech chapters: updates of each stage, a rate for the last two; the classifier's is
    1e-3. The last stage's rate falls to 0.3 of it after `drop_at` of its updates; all updates are made.
    """

    def stage(steps: int, size: int, peak: float, *, drop: float = 1.0, every: int = 100) -> TrainingSettings:
        return TrainingSettings(
            steps,
            size,
            peak,
            warmup=min(50, steps),
            evaluate_every=min(every, steps),
            patience=10**9,
            seed=seed,
            schedule="drop",
            drop_at=drop,
        )

    return Recipe(
        stage(classify, 3 * batch_size // 2, 1e-3),
        stage(words, 2 * batch_size, rate),
        stage(strings, batch_size, rate, drop=drop_at, every=evaluate_every),
    )


@dataclass(frozen=True)
class Course:
    """What happened in each stage; stages that were left out are None."""

    classify: History | None
    words: History | None
    strings: History


def warm_start(
    encoder: nn.Module,
    words: Sequence[Example],
    settings: TrainingSettings,
    *,
    augment: Augment | None = None,
    checkpoint: Path | None = None,
) -> History:
    """Stage 1 alone: train the encoder, in place, to classify isolated words.

    Raises ValueError for no words and for an example with more or fewer labels than one.
    """
    _check_words(words)
    classes = max(word.labels[0] for word in words)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        first = words[0].features
        features = first if augment is None else augment(first, torch.Generator().manual_seed(0))
        classifier = WordClassifier(encoder, encoding_size(encoder, features), classes)
    return train(classifier, words, settings=settings, evaluate=None, augment=augment, checkpoint=checkpoint)


@torch.no_grad()
def encoding_size(encoder: Any, features: Float[Tensor, "T D"]) -> int:
    """Width of the encodings, found by encoding one utterance; the encoder is left as it was."""
    training = encoder.training
    encoder.eval()
    encodings, _ = encoder(features[None], torch.tensor([len(features)]))
    encoder.train(training)
    return int(encodings.shape[-1])


def train_from_words(
    model: nn.Module,
    *,
    words: Sequence[Example],
    strings: Sequence[Example],
    recipe: Recipe,
    evaluate: Callable[[nn.Module], float] | None,
    augment: Augment | None = None,
    folder: Path | None = None,
) -> Course:
    """All stages of the recipe on one model, in place; `evaluate` is the development score of stage 3.

    folder: checkpoints `classify.pt`, `words.pt`, `strings.pt`, from which a killed run goes on.
    Raises as `warm_start` and `train` do.
    """

    def place(name: str) -> Path | None:
        return None if folder is None else folder / f"{name}.pt"

    encoder: Any = model.encoder
    classify = one = None
    if recipe.classify is not None:
        classify = warm_start(encoder, words, recipe.classify, augment=augment, checkpoint=place("classify"))
    if recipe.words is not None:
        _check_words(words)
        options: dict[str, Any] = {"augment": augment, "checkpoint": place("words")}
        with held(encoder):
            one = train(model, words, settings=recipe.words, evaluate=None, **options)
    options = {"augment": augment, "checkpoint": place("strings")}
    last = train(model, strings, settings=recipe.strings, evaluate=evaluate, **options)
    return Course(classify, one, last)


@contextmanager
def held(module: nn.Module) -> Iterator[None]:
    """Parameters of the module get no gradient meanwhile; statistics of batch norms go on."""
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    for weight in trained:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in trained:
            weight.requires_grad_(True)


def _check_words(words: Sequence[Example]) -> None:
    if not words:
        raise ValueError("no isolated words for the warm start")
    wrong = next((word for word in words if len(word.labels) != 1), None)
    if wrong is not None:
        raise ValueError(
            f"{wrong.name or 'an example'} has {len(wrong.labels)} labels; expected words, of one each"
        )
