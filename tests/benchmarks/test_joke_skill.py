"""Cost of serving: one customer's scores of 5,000 jokes, by the regression and by the deep model.

Run with `pytest -m benchmark tests/benchmarks/test_joke_skill.py -s`. CPU seconds of one thread. The joke's
side is computed beforehand: what is timed is what a request has to wait for.
"""

import time

import numpy as np
import pytest
import torch

from echobook.papers.joke_skill.model import HistoryAttention, Recent

pytestmark = pytest.mark.benchmark
JOKES, FEATURES, BAR_MS = 5000, 64, 1.0


def milliseconds(function, repeats: int = 200) -> float:
    function()
    spent = []
    for _ in range(repeats):
        started = time.process_time()
        function()
        spent.append(time.process_time() - started)
    return 1000 * float(np.median(spent))


def test_regression(capsys) -> None:
    """A customer's vector of 64 cross features against the jokes' matrix, and the best joke."""
    rng = np.random.default_rng(0)
    matrix, own = rng.standard_normal((JOKES, FEATURES)), rng.standard_normal(JOKES)
    customer, heard = rng.standard_normal(FEATURES), rng.integers(0, JOKES, 30)

    def serve() -> int:
        scores = matrix @ customer + own
        scores[heard] = -np.inf
        return int(scores.argmax())

    assert serve() not in heard
    spent = milliseconds(serve)
    with capsys.disabled():
        print(f"\nregression, {JOKES} jokes x {FEATURES}: {spent:.3f} CPU-ms a request (bar {BAR_MS})")
    assert spent < BAR_MS


def test_deep(capsys) -> None:
    """Attention of 5,000 candidates over eight past jokes, from precomputed joke vectors."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    part, candidates = HistoryAttention(32), torch.randn(JOKES, 32)
    past = Recent(
        torch.randn(1, 8, 32), torch.zeros(1, 8, dtype=torch.long), torch.zeros(1, 8, dtype=torch.long),
        torch.ones(1, 8, dtype=torch.bool),
    )  # fmt: skip
    steps = torch.cat([part.nobody, past.vectors + part.outcomes(past.outcome) + part.ages(past.age)], dim=1)[
        0
    ]
    query = part.query(candidates)  # of the jokes alone: precomputed

    @torch.no_grad()
    def serve() -> torch.Tensor:
        return (query @ steps.T / 32**0.5).softmax(dim=1) @ steps

    wide = Recent(
        *(
            getattr(past, name).expand(JOKES, *getattr(past, name).shape[1:])
            for name in ("vectors", "outcome", "age", "there")
        )
    )
    torch.testing.assert_close(serve(), part(candidates, wide).detach(), atol=1e-4, rtol=1e-4)
    with capsys.disabled():
        print(f"\ndeep customer part, {JOKES} jokes x 9 steps: {milliseconds(serve):.3f} CPU-ms a request")
