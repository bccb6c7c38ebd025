"""Cost of the incremental user state, printed: one more interaction and one answer, whatever came before."""

import time

import numpy as np
import pytest
import torch

from echobook.papers.incremental_user_embedding import costs
from echobook.papers.incremental_user_embedding.experiment import Sizes, build
from echobook.papers.incremental_user_embedding.serving import classify, new_profile
from echobook.text.encoder import one_thread

FEATURES, CLASSES, LONGEST, BAR_MS = 384, 20, 10_000, 1.0


@pytest.mark.benchmark
@pytest.mark.slow
def test_one_more_interaction(capsys):
    model = build("incremental", features=FEATURES, classes=CLASSES, sizes=Sizes(), seed=0).eval()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(64, FEATURES)).astype(np.float32))
    with one_thread():
        timed = costs.time_updates(model, x, list(range(20)) * 3, [10, 100, 1000, LONGEST])
        profile, started = new_profile(model), time.process_time()
        for place in range(64):
            classify(model, profile, x[place])
        answer = 1000 * (time.process_time() - started) / 64
    assert len({one.floats for one in timed[1:]}) == 1
    with capsys.disabled():
        spans = ", ".join(f"{one.ms:.2f} after {one.seen:,}" for one in timed)
        print(f"\none more interaction, CPU-ms: {spans} (bar {BAR_MS}); an answer {answer:.2f}")
