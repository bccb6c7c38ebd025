"""Counting sessions, printed: turns a second, peak memory, how both grow, and a look-up in the serving table.

A million turns by default; `ECHOBOOK_BENCH_TURNS=10000000` counts ten million (some minutes, half a gigabyte
of disk). The slowest part is writing the log, which is not timed.
"""

import math
import os
import time

import pytest

from echobook.data.generators.requests import request_world
from echobook.papers.self_learning.guardrails import ServingTable
from echobook.papers.self_learning.material import Users, catalogue, write_log
from echobook.sessions.cost import counting_cost

pytestmark = [pytest.mark.benchmark, pytest.mark.slow]
LARGEST = int(os.environ.get("ECHOBOOK_BENCH_TURNS", "1000000"))


def test_counting_grows_in_step_with_the_log(tmp_path, capsys):
    shop = catalogue(request_world(seed=0), half=0, seed=0)
    costs = {}
    for turns in (LARGEST // 100, LARGEST // 10, LARGEST):
        write_log(shop, Users(), tmp_path / str(turns), turns=turns, seed=0)
        costs[turns] = counting_cost(tmp_path / str(turns))
        assert costs[turns].turns == turns
    tight = counting_cost(tmp_path / str(LARGEST), memory_gb=0.5)
    assert tight.turns == LARGEST
    exponent = math.log10(costs[LARGEST].seconds / costs[LARGEST // 10].seconds)
    with capsys.disabled():
        for turns, cost in costs.items():
            speed = turns / cost.seconds
            print(
                f"\n{turns} turns: {cost.seconds:.2f} CPU-s, {speed:.0f} turns/s, {cost.peak_mib:.0f} MiB",
                end="",
            )
        print(f"\nheld to half a gigabyte: {tight.seconds:.2f} CPU-s, {tight.peak_mib:.0f} MiB", end="")
        print(f"\nseconds grow with exponent {exponent:.2f} over the last ten-fold (bar 1.2)")


def test_look_up(capsys):
    texts = [f"request number {n}" for n in range(100_000)]
    server = ServingTable(dict.fromkeys(texts[::2], "another"), {})
    best = math.inf
    for _ in range(5):
        start = time.process_time()
        for text in texts:
            server.rewrite(text)
        best = min(best, time.process_time() - start)
    assert server.rewrite(texts[0]) == "another"
    assert server.rewrite(texts[1]) == texts[1]
    with capsys.disabled():
        print(f"\nlook-up among {len(server.table)} rewrites: {1e6 * best / len(texts):.2f} us")
