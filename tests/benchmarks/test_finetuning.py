"""Fine-tuning and scoring of pairs beside bare transformers and sentence-transformers; printed, not asserted.

Same weights, same pairs, same padding where the peer lets us; one thread, float32, CPU time, interleaved.
"""

import resource
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pytest
import torch

from echobook.text.batches import encode_texts, epoch_batches, pad_batch
from echobook.text.checkpoint import load_checkpoint
from echobook.text.encoder import bundled_model, one_thread
from echobook.text.finetuning import Settings, Task, fine_tune
from echobook.text.heads import Classifier, PoolerHead
from echobook.text.inference import predict

STEPS, BATCH, PAIRS = 4, 16, 96
STEP_BAR, SCORE_BAR, MEMORY_BAR = 1.1, 1.05, 2000


def pairs(count: int) -> tuple[list[str], list[str]]:
    """Questions of 4 to 12 and candidates of 8 to 40 words."""
    random = np.random.default_rng(0)
    line = "the river town of king was built in year by who when name song first play large old new city"
    words = line.split()

    def text(low: int, high: int) -> str:
        return " ".join(random.choice(words, int(random.integers(low, high))))

    return [text(4, 12) for _ in range(count)], [text(8, 40) for _ in range(count)]


def bare_steps(model: Any, inputs: list[dict[str, torch.Tensor]]) -> list[float]:
    """The plainest loop over a sequence classifier: forward, loss, backward, clip, fused AdamW."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.01, fused=True)
    losses = []
    model.train()
    for batch in inputs:
        optimiser.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    return losses


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def told(capsys: pytest.CaptureFixture[str], title: str, taken: dict[str, list[float]], bar: float) -> None:
    ours, peer = (median(values) for values in taken.values())
    with capsys.disabled():
        print(f"\n{title}")
        for name, values in taken.items():
            print(f"  {name:24s} best {min(values):6.3f}  median {median(values):6.3f} CPU s")
        print(f"  ratio of medians {ours / peer:.3f} (bar {bar})")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"  peak memory {peak:.0f} MiB (bar {MEMORY_BAR})")


@pytest.mark.benchmark
def test_step(capsys: pytest.CaptureFixture[str]) -> None:
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.set_verbosity_error()  # a fresh classifier is meant
    tokenizer, encoder = load_checkpoint()
    encoded = encode_texts(tokenizer, *pairs(STEPS * BATCH))
    labels = np.arange(STEPS * BATCH) % 2
    order = epoch_batches(encoded.lengths, BATCH, seed=0, epoch=0)
    bare = AutoModelForSequenceClassification.from_pretrained(
        bundled_model(), num_labels=2, dtype=torch.float32
    )
    inputs = []
    for rows in order:
        batch = pad_batch(encoded, rows)
        named = {"input_ids": batch.ids, "attention_mask": batch.mask, "token_type_ids": batch.types}
        inputs.append(named | {"labels": torch.from_numpy(labels[rows])})
    model = Classifier(encoder, {"qa": PoolerHead(encoder.config.hidden_size, 2)})
    task, settings = {"qa": Task(encoded, labels)}, Settings(steps=STEPS, batch_size=BATCH)
    runs = {
        "echobook": lambda: fine_tune(model, task, settings),
        "bare transformers": lambda: bare_steps(bare, inputs),
    }
    taken: dict[str, list[float]] = {name: [] for name in runs}
    with one_thread():
        for run in runs.values():
            run()
        for _ in range(3):
            for name, run in runs.items():
                taken[name].append(seconds(run) / STEPS)
    told(capsys, f"fine-tuning step, {BATCH} pairs, float32, one thread", taken, STEP_BAR)


@pytest.mark.benchmark
def test_scoring(capsys: pytest.CaptureFixture[str]) -> None:
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging

    logging.set_verbosity_error()  # a fresh classifier is meant
    questions, candidates = pairs(PAIRS)
    peer = CrossEncoder(str(bundled_model()), num_labels=2, max_length=128, device="cpu")
    tokenizer, encoder = load_checkpoint()
    model = Classifier(encoder, {"qa": PoolerHead(encoder.config.hidden_size, 2)})
    classifier: Any = peer.model.classifier
    head: Any = model.heads["qa"]
    head.output.load_state_dict(classifier.state_dict())
    model.encoder.load_state_dict(peer.model.bert.state_dict())

    def ours() -> np.ndarray:
        encoded = encode_texts(tokenizer, questions, candidates, max_tokens=128)
        return predict(model, encoded, "qa", batch_size=32)

    def theirs() -> np.ndarray:
        both = list(zip(questions, candidates, strict=True))
        return peer.predict(both, batch_size=32, apply_softmax=True, show_progress_bar=False)

    runs = {"echobook": ours, "CrossEncoder.predict": theirs}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    with one_thread():
        np.testing.assert_allclose(ours(), theirs(), atol=1e-4)  # float32; padding differs
        for _ in range(3):
            for name, run in runs.items():
                taken[name].append(seconds(run))
    told(capsys, f"scoring {PAIRS} pairs, tokenising included, float32, one thread", taken, SCORE_BAR)
