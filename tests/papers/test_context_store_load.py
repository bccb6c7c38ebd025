"""The load's arithmetic, one share played in this process, two shares in processes of their own."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from echobook.papers.context_store import load, shard
from echobook.papers.context_store.load import EMBEDDED, Load, embedded_loads, measure
from echobook.papers.context_store.material import deliveries, interactions
from echobook.papers.context_store.shard import Setting, Shard, play
from echobook.store.errors import StoreError, Throttled
from echobook.store.faults import Failing, Flaky
from echobook.store.memory import MemoryStore
from echobook.store.pipeline import Pipeline, inline, simulated
from echobook.store.protocol import TwoTables
from echobook.store.retry import Retrying
from echobook.store.sealing import KeyRing
from echobook.store.servers import dynalite_script
from echobook.store.simulated_time import run_simulated
from echobook.store.vectors import hashed_trigrams

ROOT = Path(__file__).resolve().parents[2]

NONE = load._sum([Shard(1, 1.0, 0.0, [0.0], embedded=0, failures=0, cpu_s=0.0)], 0.0)
HERE = Setting("here", rate=40.0, seconds=0.5, seed=0)


def part(waits, *, interactions=10, span=2.0, overrun=0.0):
    return Shard(interactions, span, overrun, waits, embedded=1, failures=2, cpu_s=0.5)


def test_shards_are_summed_by_hand():
    """Two shards of ten interactions: one in its two seconds, one half a second behind."""
    found = load._sum([part([0.001, 0.003]), part([0.002], overrun=0.5)], 1.5)
    assert found.rate == pytest.approx(10 / 2 + 10 / 2.5)
    assert (found.interactions, found.events, found.embedded, found.failures, found.cpu_s) == (
        20,
        3,
        2,
        4,
        1.0,
    )
    assert (found.p50_ms, found.p95_ms) == pytest.approx((2.0, 2.9))
    assert found.p99_ms == pytest.approx(2.98)
    assert found.client_ms == pytest.approx(50.0)
    assert found.server_ms == pytest.approx(75.0)


def test_an_early_end_does_not_raise_the_rate():
    assert load._sum([part([0.0], overrun=-0.4)], 0.0).rate == 5.0


def test_a_small_load_in_this_process():
    measured = play(HERE, MemoryStore(), inline)
    assert measured.interactions == 20
    assert measured.span == 0.5
    assert len(measured.waits) >= 100
    assert min(measured.waits) >= 0
    assert measured.failures == 0
    assert measured.cpu_s > 0


def test_a_stall_counts_for_every_event_that_fell_due_meanwhile():
    """In simulated time the first write takes five seconds and the queue holds four events: the source is
    held back, and yet an event that was due at t has waited until the fifth second at least."""
    stream = interactions(seed=1, count=80, rate=10.0, context_bytes=50)
    arrivals = deliveries(stream, seed=1)
    takes = iter([5.0])
    pipeline = Pipeline(
        lambda name: TwoTables(MemoryStore(), KeyRing.generate(), lambda: 1e6, hashed_trigrams, name),
        run=simulated(lambda verb: next(takes, 0.0) if verb == "write" else 0.0),
        queue=4,
    )
    report, overrun = run_simulated(shard._feed(pipeline, arrivals))
    assert len(report.waits) == len(arrivals)
    assert sorted(due for due, _ in report.waits) == pytest.approx([at for at, _ in arrivals])
    first = arrivals[0][0]
    held = [(due, wait) for due, wait in report.waits if due < first + 5]
    assert len(held) > 50
    assert all(due + wait >= first + 5 - 1e-6 for due, wait in held)
    late = [wait for due, wait in report.waits if due > first + 5.1]
    assert len(late) > 50
    assert max(late) < 0.1
    assert overrun < 0.1


def test_failures_are_counted():
    store = Failing(MemoryStore(), range(10_000), Throttled("on purpose"))
    assert play(HERE, store, inline).failures >= 100


def test_shards_share_the_interactions_out():
    shares = [
        play(Setting("here", 40.0, 0.5, 0, shard=number, shards=3), MemoryStore(), inline)
        for number in range(3)
    ]
    assert [share.interactions for share in shares] == [7, 7, 6]


@pytest.mark.parametrize("durable", ["process", "power"])
def test_two_processes_on_the_embedded_store(durable):
    found = measure(Setting(EMBEDDED, rate=60.0, seconds=0.4, seed=3, shards=2, durable=durable))
    assert isinstance(found, Load)
    assert (found.interactions, found.failures, found.server_cpu_s) == (24, 0, 0.0)
    assert found.p50_ms <= found.p95_ms <= found.p99_ms


def test_loads_are_named_by_rate(monkeypatch):
    asked = []

    def noted(setting):
        asked.append(setting)
        return NONE

    monkeypatch.setattr(load, "measure", noted)
    found = embedded_loads(rate=300.0, power_rates=(50.0, 100.0), seconds=1.0, seed=4)
    assert list(found) == ["embedded", "embedded-power-50", "embedded-power-100"]
    assert [(one.rate, one.durable, one.shards) for one in asked] == [
        (300.0, "process", 2),
        (50.0, "power", 2),
        (100.0, "power", 2),
    ]


@pytest.mark.skipif(dynalite_script(ROOT) is None, reason="needs dynalite: npm ci --prefix workflow/dynalite")
def test_loads_of_a_server(monkeypatch):
    asked = []

    def noted(setting, server=None):
        asked.append((setting, server))
        return NONE

    monkeypatch.setattr(load, "measure", noted)
    found = load.server_loads(ROOT, rates=(20.0, 30.0), boto3_rates=(20.0,), seconds=0.5, seed=2)
    assert list(found) == ["dynamodb-protocol-20", "dynamodb-protocol-30", "boto3-20"]
    assert [setting.quick for setting, _ in asked] == [True, True, True, False]
    assert len({setting.seed for setting, _ in asked}) == 4  # no load meets another's interactions
    warming, *measured = asked
    assert warming[1] is None
    assert all(server is not None for _, server in measured)


def test_a_dead_shard_is_an_error(monkeypatch):
    def dead(_):
        return subprocess.Popen(["false"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    monkeypatch.setattr(load, "_start", dead)
    with pytest.raises(StoreError, match="a shard of the load ended with an error"):
        measure(Setting(EMBEDDED, rate=10.0, seconds=0.1, seed=0))


def test_what_is_throttled_in_a_load_is_repeated():
    """A share's store repeats throttled calls: with every tenth one throttled nothing fails."""
    rng = np.random.default_rng(0)
    store = shard._retrying(Flaky(MemoryStore(), rng, throttled=0.1), HERE)
    assert play(HERE, store, inline).failures == 0
    assert store.repeats > 5
    with ExitStack() as stack:
        opened, _ = shard._opened(Setting(EMBEDDED, rate=1.0, seconds=0.1, seed=0), stack)
        assert isinstance(opened, Retrying)
        opened.close()


def test_the_fixed_loop_takes_time_and_its_median_ignores_one_pause(monkeypatch):
    assert 1 < load.fixed_loop_ms(3) < 1000
    clock = iter([0.0, 0.02, 1.0, 9.0, 10.0, 10.03])  # 20 ms, 8 s, 30 ms
    monkeypatch.setattr(load.time, "process_time", lambda: next(clock))
    assert load.fixed_loop_ms(3) == pytest.approx(30)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no cores to choose here")
def test_processes_started_inside_have_one_core_and_this_one_gets_its_own_back():
    allowed = sorted(os.sched_getaffinity(0))
    say = [sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0)))"]
    for number in (0, 1):
        with load._on_core(number):
            found = json.loads(subprocess.check_output(say))
        assert found == ([allowed[number % len(allowed)]] if len(allowed) > 1 else allowed)
        assert sorted(os.sched_getaffinity(0)) == allowed


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no cores to choose here")
def test_the_cores_are_given_back_after_an_error():
    allowed = os.sched_getaffinity(0)
    with pytest.raises(StoreError), load._on_core(1):
        raise StoreError("the load failed")
    assert os.sched_getaffinity(0) == allowed


def test_without_cores_to_choose_nothing_changes(monkeypatch):
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    with load._on_core(1):
        pass
