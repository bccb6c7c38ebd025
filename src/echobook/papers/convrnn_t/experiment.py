"""Train one model on the chapter's material, score it on every test set, and check that it streams.

Scores are word errors per utterance, so that two models can be compared on the same utterances. Streaming is
checked on the test utterances themselves: every frame alone, in order, against the whole utterance at once.
"""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from echobook.metrics.wer import ErrorCounts, total, word_errors
from echobook.papers.convrnn_t.material import Material, check_audio
from echobook.speech.corpora import WordLabels
from echobook.speech.decoding import GreedyDecoder, Hypothesis, greedy
from echobook.speech.model import Transducer
from echobook.speech.streaming import stream
from echobook.speech.training import Batch, Example, History, TrainingSettings, collate, train

BATCH = 100  # utterances decoded together
WARMUP = 100  # updates, in each of the two stages of training


@dataclass(frozen=True)
class Trained:
    """A trained model, the course of its training, and its CPU seconds."""

    model: Transducer
    history: History
    cpu_seconds: float


@dataclass(frozen=True)
class StreamingCheck:
    """Frame by frame against whole, over all test utterances.

    The largest difference of a logit in float32 and in float64, and how many utterances get other words or
    other times. Float32 rounds in proportion to the encodings, which a deep stack of batch norms can carry to
    tens of thousands; what is left in float64 is a fault of the code.
    """

    gap: float
    exact_gap: float
    different: int
    utterances: int


def training_settings(*, steps: int, batch_size: int, seed: int, peak_rate: float) -> TrainingSettings:
    """The same schedule for every model; steps and batch are a profile's, the peak rate a model's."""
    return TrainingSettings(
        steps=steps,
        batch_size=batch_size,
        peak_rate=peak_rate,
        warmup=min(WARMUP, steps),
        evaluate_every=min(100, steps),
        patience=50,
        seed=seed,
    )


def fit(
    model: Transducer,
    material: Material,
    settings: TrainingSettings,
    *,
    first: int = 0,
    measure: Callable[[Any, Material], float] | None = None,
) -> Trained:
    """Train on the material's examples; the weights kept are those with the best `measure` on development
    utterances, by default `development_wer`.

    The `first` updates use utterances of a single word alone, twice as many at a time, with a schedule of
    their own: short lattices take a transducer off the plateau on which it ignores the sound.
    """
    start = time.process_time()
    options: dict[str, Any] = {
        "evaluate": lambda candidate: (measure or development_wer)(candidate, material),
        "augment": material.augment,
    }
    single = [e for e in material.train if len(e.labels) == 1]
    if first and single:
        alone = replace(settings, steps=first, warmup=min(WARMUP, first), evaluate_every=first)
        train(model, single, settings=replace(alone, batch_size=2 * settings.batch_size), **options)
    history = train(model, material.train, settings=settings, **options)
    return Trained(model, history, time.process_time() - start)


def development_wer(model: Transducer, material: Material) -> float:
    """WER of greedy decoding on the development utterances."""
    counts = [c for batch in batched(material.dev) for c in score(model, batch, material.labels)[0]]
    return total(counts).rate


@torch.no_grad()
def development_loss(model: Transducer, material: Material) -> float:
    """Mean transducer loss of the development utterances, in nats."""
    losses = [float(model.loss(*batch[:4])) * len(batch.names) for batch in batched(material.dev)]
    return sum(losses) / len(material.dev)


def batched(examples: Sequence[Example]) -> list[Batch]:
    """Examples in their order, in padded batches."""
    return [collate(examples[start : start + BATCH]) for start in range(0, len(examples), BATCH)]


def score(model: Transducer, batch: Batch, labels: WordLabels) -> tuple[list[ErrorCounts], list[Hypothesis]]:
    """Word errors and greedy hypotheses of a batch."""
    found = greedy(model, batch.frames, batch.lengths)
    said = [
        labels.decode(tuple(row[:count]))
        for row, count in zip(batch.labels.tolist(), batch.label_lengths.tolist(), strict=True)
    ]
    return word_errors(said, [labels.decode(hypothesis.labels) for hypothesis in found]), found


def evaluate(model: Transducer, material: Material) -> dict[str, list[ErrorCounts]]:
    """Word errors of every utterance of every test set."""
    return {
        name: [c for batch in batched(rows) for c in score(model, batch, material.labels)[0]]
        for name, rows in material.tests.items()
    }


def check_streaming(model: Transducer, tests: Mapping[str, Sequence[Example]]) -> StreamingCheck:
    """Encode and decode every test utterance frame by frame and compare with the whole utterance."""
    checks = [_check(model, batch) for rows in tests.values() for batch in batched(_by_length(rows))]
    return StreamingCheck(
        max(c.gap for c in checks),
        max(c.exact_gap for c in checks),
        sum(c.different for c in checks),
        sum(c.utterances for c in checks),
    )


def transcribe(
    model: Transducer, audio: Float[Tensor, " N"], sample_rate: int, material: Material
) -> tuple[str, tuple[float, ...]]:
    """Words of one recording and the time in seconds at which each is written.

    Raises ValueError for audio that cannot be read: see `check_audio`.
    """
    front_end = material.front_end
    frames = front_end(check_audio(audio, sample_rate, front_end))
    found = greedy(model, frames[None], torch.tensor([len(frames)]))[0]
    words = material.labels.decode(found.labels)
    return words, tuple((t + 1) * front_end.frame_seconds for t in found.times)


@torch.no_grad()
def streaming_seconds(model: Transducer, frames: Float[Tensor, "T D"]) -> float:
    """CPU seconds to encode and decode one utterance frame by frame."""
    start = time.process_time()
    decoder, state = GreedyDecoder(model, 1), model.encoder.initial_state(1)
    for frame in frames:
        encodings, state = model.encoder.step(frame[None, None], state)
        decoder.advance(encodings)
    return time.process_time() - start


def _by_length(rows: Sequence[Example]) -> list[Example]:
    return sorted(rows, key=lambda e: len(e.features))


@torch.no_grad()
def _check(model: Transducer, batch: Batch) -> StreamingCheck:
    whole, pieces = _both_ways(model, batch.frames, batch.lengths)
    gap = _largest_gap(model, batch, whole, pieces)
    exact = copy.deepcopy(model).double()
    exact_gap = _largest_gap(exact, batch, *_both_ways(exact, batch.frames.double(), batch.lengths))
    decoded = [_decode(model, encodings, batch.lengths) for encodings in (whole, pieces)]
    different = sum(one[:2] != other[:2] for one, other in zip(*decoded, strict=True))
    return StreamingCheck(gap, exact_gap, different, len(batch.names))


def _both_ways(model: Transducer, frames: Float[Tensor, "B T D"], lengths: Tensor) -> tuple[Any, Any]:
    """Encodings of the whole utterances, and frame by frame."""
    return model.encoder(frames, lengths)[0], stream(model.encoder, frames, [1] * frames.shape[1])


def _largest_gap(model: Transducer, batch: Batch, whole: Tensor, pieces: Tensor) -> float:
    """Largest difference of a logit at a real frame."""
    predictions = model.predictor(batch.labels)[:, None]
    real = torch.arange(whole.shape[1]) < batch.lengths[:, None]
    first, second = (_logits(model, e, predictions) for e in (whole, pieces))
    return float((first - second)[real].abs().max())


def _logits(model: Transducer, encodings: Tensor, predictions: Tensor) -> Any:
    return model.joiner(encodings[:, :, None], predictions)


def _decode(model: Transducer, encodings: Tensor, lengths: Tensor) -> list[Hypothesis]:
    decoder = GreedyDecoder(model, len(encodings))
    decoder.advance(encodings, lengths)
    return decoder.hypotheses
