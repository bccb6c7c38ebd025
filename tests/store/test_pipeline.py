"""The pipeline in simulated and real time: all written, one embedding each, waiting instead of losing."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from echobook.data.generators.interactions import deliveries, interactions
from echobook.store.errors import StoreError, StoreFull
from echobook.store.faults import Failing
from echobook.store.memory import MemoryStore
from echobook.store.pipeline import Pipeline, inline, simulated, threads
from echobook.store.protocol import TwoTables
from echobook.store.sealing import KeyRing
from echobook.store.simulated_time import run_real, run_simulated
from echobook.store.vectors import hashed_trigrams

KEYS = KeyRing.generate()
STREAM = interactions(seed=1, count=40, follow_ups=0.5, context_bytes=60, rate=50.0)
ARRIVALS = deliveries(STREAM, seed=1, duplicates=0.1)


def maker(store):
    return lambda name: TwoTables(store, KEYS, lambda: 1e6, hashed_trigrams, name)


async def source(arrivals=ARRIVALS, *, paced=True):
    loop = asyncio.get_running_loop()
    for at, event in arrivals:
        if paced:
            await asyncio.sleep(max(0.0, at - loop.time()))
        yield at, event


def check(store, report):
    design = maker(store)("reader")
    assert report.events == len(ARRIVALS)
    assert report.embedded == sum(one.follow_up for one in STREAM)
    assert [design.read(one.name) is not None for one in STREAM] == [one.follow_up for one in STREAM]
    assert report.failures == []


@pytest.mark.parametrize(("writers", "batch", "linger"), [(1, 64, 0.0), (4, 1, 0.0), (3, 16, 0.05)])
def test_simulated_time(writers, batch, linger):
    store = MemoryStore()

    async def main():
        pipeline = Pipeline(
            maker(store),
            run=simulated(lambda _: 0.01),
            writers=writers,
            embedders=2,
            batch=batch,
            linger_s=linger,
        )
        return await pipeline.run(source())

    report = run_simulated(main())
    check(store, report)
    assert max(wait for _, wait in report.waits) >= 0.01


def test_real_time_in_threads_and_inline():
    for kind in ("threads", "inline"):
        store = MemoryStore()
        with ThreadPoolExecutor(3) as pool:
            run = threads(pool) if kind == "threads" else inline

            async def main(store=store, run=run):
                return await Pipeline(maker(store), run=run, writers=2).run(source(paced=False))

            check(store, run_real(main()))


def test_a_slow_embedder_holds_the_source_and_loses_nothing():
    """Queues of four and an embedding of five seconds: the source is held for most of the run."""
    store = MemoryStore()

    async def main():
        run = simulated(lambda verb: 5.0 if verb == "embed" else 0.001)
        pipeline = Pipeline(maker(store), run=run, queue=4, batch=2)
        report = await pipeline.run(source())
        return report, asyncio.get_running_loop().time()

    report, ended = run_simulated(main())
    check(store, report)
    assert report.longest_queue <= 4
    assert ended >= 5.0 * report.embedded
    assert max(wait for _, wait in report.waits) > 20


def test_a_failing_event_harms_no_other():
    store = MemoryStore()
    failing = Failing(store, [0, 1], StoreFull("full"))

    async def main():
        return await Pipeline(maker(failing), batch=8).run(source(paced=False))

    report = run_real(main())
    assert len(report.failures) <= 1
    assert report.events == len(ARRIVALS)


def test_reads_keep_their_deadline():
    store = MemoryStore()

    async def main():
        times = {"read": 0.04}
        async with Pipeline(maker(store), run=simulated(lambda verb: times.get(verb, 0.0))) as pipeline:
            one = next(one for one in STREAM if one.follow_up)
            for event in one.events:
                await pipeline.submit(event)
            await pipeline.drain()
            return await pipeline.read(one.name, 0.03), await pipeline.read(one.name, 0.05)

    late, timely = run_simulated(main())
    assert late is None
    assert timely is not None


def test_errors_of_workers_come_out_and_settings_are_checked():
    def broken(name):
        class Broken(TwoTables):
            def write(self, events):
                raise RuntimeError("a bug")

        return Broken(MemoryStore(), KEYS, lambda: 1e6, hashed_trigrams, name)

    async def main():
        return await Pipeline(broken).run(source(paced=False))

    with pytest.raises(RuntimeError, match="a bug"):
        run_real(main())
    with pytest.raises(StoreError, match="at least one each"):
        Pipeline(maker(MemoryStore()), writers=0)


def test_simulated_time_is_exact_and_notices_a_standstill():
    async def wait():
        await asyncio.sleep(1000)
        return asyncio.get_running_loop().time()

    assert run_simulated(wait()) == pytest.approx(1000, abs=1e-6)

    async def forever():
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nothing is left to wait for"):
        run_simulated(forever())
