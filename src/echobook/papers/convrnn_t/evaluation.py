"""Score a model on every test set, check that it streams, and put figures together.

Scores are word errors per utterance, so that two models can be compared on the same utterances. Streaming is
checked on the test utterances themselves: every frame alone, in order, against the whole utterance at once.
"""

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from echobook.metrics.wer import (
    ErrorCounts,
    PairedComparison,
    paired_comparison,
    total,
    wer_by_group,
    word_errors,
)
from echobook.papers.convrnn_t.material import Material
from echobook.speech.corpora import WordLabels
from echobook.speech.decoding import GreedyDecoder, Hypothesis, greedy
from echobook.speech.model import Transducer
from echobook.speech.streaming import stream
from echobook.speech.training import Batch, Example, collate

BATCH = 100  # utterances decoded together


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


Scores = Mapping[str, Mapping[str, Sequence[ErrorCounts]]]  # model -> test set -> utterances


def item_scores(counts: Sequence[ErrorCounts]) -> dict[str, Any]:
    """Errors over words of each utterance and the words as weights: their weighted mean is the WER."""
    return {"items": [c.errors / c.words for c in counts], "weights": [c.words for c in counts]}


def wer_frame(scores: Scores) -> pd.DataFrame:
    """WER of each model (rows) on each test set (columns)."""
    rows = {m: {name: total(c).rate for name, c in sets.items()} for m, sets in scores.items()}
    return pd.DataFrame(rows).T.rename_axis("model").reset_index()


def against(scores: Scores, reference: str, test: str, *, seed: int) -> dict[str, PairedComparison]:
    """The reference model against each other one on one test set: paired bootstrap over utterances."""
    return {
        other: paired_comparison(scores[reference][test], sets[test], seed=seed)
        for other, sets in scores.items()
        if other != reference
    }


def by_speaker(scores: Scores, speakers: Sequence[str], test: str) -> pd.DataFrame:
    """WER of each speaker (rows, sorted) by each model (columns) on one test set."""
    columns = {
        model: wer_by_group(sets[test], speakers).set_index("group")["wer"] for model, sets in scores.items()
    }
    return pd.DataFrame(columns).rename_axis("speaker").reset_index()
