"""Sentences per second beside sentence-transformers' own ``encode``: same texts, one thread, interleaved."""

import random
import time
from statistics import median

import numpy as np
import pytest

from echobook.text.encoder import SentenceEncoder, bundled_model, one_thread

ROUNDS = 5
BAR = 1.0


def utterances(count: int) -> list[str]:
    """Distinct texts of 3 to 20 words, lengths spread as in spoken requests."""
    generator = random.Random(0)
    line = "play set alarm the a for of weather please song in my tomorrow what is next stop volume list"
    words = line.split()
    return [
        " ".join([*generator.choices(words, k=min(20, max(3, round(generator.gauss(8, 3))))), str(i)])
        for i in range(count)
    ]


@pytest.mark.benchmark
def test_throughput(capsys: pytest.CaptureFixture[str]) -> None:
    from sentence_transformers import SentenceTransformer

    texts = utterances(512)
    ours = SentenceEncoder(cache=None)
    peer = SentenceTransformer(str(bundled_model()), device="cpu")
    runs = {
        "echobook": lambda: ours.encode(texts),
        "sentence-transformers": lambda: peer.encode(texts, show_progress_bar=False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    with one_thread():
        np.testing.assert_allclose(*(run() for run in runs.values()), atol=2e-6)  # also warms both up
        for _ in range(ROUNDS):
            for name, run in runs.items():
                start = time.process_time()
                run()
                seconds[name].append(time.process_time() - start)
    with capsys.disabled():
        print(f"\nencoder, {len(texts)} texts, one thread, CPU time, {ROUNDS} interleaved rounds")
        for name, taken in seconds.items():
            rates = [len(texts) / value for value in taken]
            print(f"  {name:22s} best {max(rates):6.1f}  median {median(rates):6.1f} sentences/s")
        ratio = median(seconds["sentence-transformers"]) / median(seconds["echobook"])
        print(f"  ratio of medians {ratio:.2f} (bar {BAR})")
