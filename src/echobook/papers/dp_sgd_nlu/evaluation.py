"""Utility and leakage of a model: intent accuracy, span F1, and the logits that attacks read."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from echobook.data.slots import spans
from echobook.papers.dp_sgd_nlu.material import NO_TAG, Coded
from echobook.privacy.membership import confidence

Scores = Float[np.ndarray, "N"]
BATCH = 250


@dataclass(frozen=True)
class Answers:
    """What a model says of N utterances: log-probabilities of all intents, and the predicted tags of each
    word.
    """

    intents: Float[np.ndarray, "N K"]
    tags: list[list[int]]
    tag_logs: Scores  # mean over words of the log-probability of the right tag


def answers(model: nn.Module, data: Coded) -> Answers:
    """Run a model over a part, without gradients."""
    intents, tags, logs = [], [], []
    with torch.no_grad():
        for start in range(0, len(data), BATCH):
            batch = data.batch(range(start, min(start + BATCH, len(data))))
            of_intent, of_tags = model(batch)
            intents.append(of_intent.log_softmax(1))
            every = of_tags.log_softmax(2)
            right = every.gather(2, batch.tags.clamp_min(0).unsqueeze(2)).squeeze(2) * batch.mask
            logs.append(right.sum(1) / batch.mask.sum(1).clamp_min(1))
            best = every.argmax(2)
            tags += [row[: int(size)].tolist() for row, size in zip(best, batch.mask.sum(1), strict=True)]
    return Answers(torch.cat(intents).double().numpy(), tags, torch.cat(logs).double().numpy())


def intent_hits(found: Answers, data: Coded) -> Scores:
    """1 for each utterance whose intent is right, else 0."""
    return np.asarray(found.intents.argmax(1) == np.asarray(data.intents), dtype=np.float64)


def span_counts(found: Answers, data: Coded, names: list[str]) -> Int[np.ndarray, "N 3"]:
    """Right, predicted and true slots of each utterance (exact span and slot, as CoNLL counts them)."""
    counts = np.zeros((len(data), 3), dtype=np.int64)
    for row, (said, true) in enumerate(zip(found.tags, data.tags, strict=True)):
        predicted = spans(well_formed([names[tag] for tag in said]))
        wanted = spans([names[tag] for tag in true if tag != NO_TAG])
        counts[row] = len(predicted & wanted), len(predicted), len(wanted)
    return counts


def well_formed(tags: list[str]) -> list[str]:
    """Let a predicted ``I-slot`` that continues nothing begin a slot, as conlleval does."""
    formed: list[str] = []
    for tag in tags:
        continues = formed and formed[-1] in (f"B-{tag[2:]}", f"I-{tag[2:]}")
        formed.append(f"B-{tag[2:]}" if tag.startswith("I-") and not continues else tag)
    return formed


def span_f1(counts: Int[np.ndarray, "N 3"]) -> float:
    """Micro F1 of slots: 2 right / (predicted + true); 1 when there are neither."""
    right, predicted, true = counts.sum(axis=0)
    return 1.0 if predicted + true == 0 else float(2 * right / (predicted + true))


def attack_scores(found: Answers, data: Coded) -> Scores:
    """The attacker's score: confidence in the right intent plus the right tags' mean log-probability."""
    own = found.intents[np.arange(len(data)), np.asarray(data.intents)]
    return confidence(own) + found.tag_logs
