"""Cost of context: adapter per frame against the number of entries, encoding a catalogue, fusion automata.

Run with `pytest -m benchmark tests/benchmarks/test_biasing.py -s`. CPU seconds of one thread. Only one figure
is held to a limit, and a wide one: a turn with 1,000 entries must be biased in less time than it lasts.
"""

import statistics
import time

import numpy as np
import pytest
import torch

from echobook.papers.contextual_asr.context import ContextEncoder
from echobook.papers.contextual_asr.model import ContextualTransducer
from echobook.papers.contextual_asr.parts import Adapter
from echobook.speech.biasing.catalogues import Catalogue
from echobook.speech.biasing.fusion import fusion_table
from echobook.speech.biasing.phonemes import CLASSES
from echobook.speech.biasing.recogniser import phoneme_transducer

pytestmark = pytest.mark.benchmark
FRAME_SECONDS, FRAMES, SIZE = 0.04, 50, 128


def entries(count):
    rng = np.random.default_rng(0)
    return tuple(tuple(rng.integers(2, CLASSES, int(rng.integers(3, 10))).tolist()) for _ in range(count))


def contextual():
    torch.manual_seed(0)
    context = ContextEncoder(CLASSES, kinds=4)
    parts = {place: Adapter(SIZE, context.size) for place in ("encoder", "predictor")}
    return ContextualTransducer(phoneme_transducer(160, CLASSES), context, parts).eval()


def cpu_seconds(work, repeats=7):
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


@pytest.mark.parametrize("count", [10, 100, 1000])
@torch.no_grad()
def test_context_of_a_turn(count, capsys):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model, labels = contextual(), entries(count)
    catalogue = Catalogue(labels, torch.zeros(count, dtype=torch.long), torch.arange(count)[None])
    prepared = model.prepare(catalogue)
    frames = torch.randn(1, FRAMES, SIZE)
    history = torch.zeros(1, 8, 2, dtype=torch.long)
    base = model.logits(None)
    step = model.logits(prepared)
    encode = cpu_seconds(lambda: model.prepare(catalogue))
    encoder = cpu_seconds(lambda: model.apply_part("encoder", frames, prepared)) / FRAMES
    predictor = cpu_seconds(lambda: step(frames[:, 0], history)) - cpu_seconds(
        lambda: base(frames[:, 0], history)
    )
    automaton = cpu_seconds(lambda: fusion_table(labels, CLASSES), repeats=3)
    torch.set_num_threads(threads)
    per_frame = encoder + 4 * max(predictor, 0.0)  # four searches of the joiner in a frame
    with capsys.disabled():
        print(
            f"\n{count} entries: encoded once a turn {1e3 * encode:.1f} ms; "
            f"adapter {1e6 * encoder:.0f} us a frame, "
            f"predictor's {1e6 * predictor:.0f} us a step of 8 hypotheses; together "
            f"{per_frame / FRAME_SECONDS:.3f} of real time; fusion automaton {1e3 * automaton:.1f} ms",
            end="",
        )
    assert per_frame < FRAME_SECONDS
    assert encode < FRAMES * FRAME_SECONDS
