"""The pipeline in simulated and real time: all written, one embedding each, waiting instead of losing."""

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from echobook.papers.context_store.material import deliveries, interactions
from echobook.store.errors import StoreError, StoreFull
from echobook.store.faults import Failing
from echobook.store.interleave import Ticks
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
    with pytest.raises(StoreError, match="writers: expected a whole number, at least one, got 0"):
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


def test_writers_gather_in_turn_and_write_side_by_side():
    """Writing takes a second, gathering a tenth: three writers begin a tenth of a second apart."""
    begun = []

    async def main():
        async def run(verb, call):
            if verb == "write":
                begun.append(asyncio.get_running_loop().time())
                await asyncio.sleep(1.0)
            return call()

        pipeline = Pipeline(maker(MemoryStore()), run=run, writers=3, linger_s=0.1)
        return await pipeline.run(source())

    report = run_simulated(main())
    assert report.events == len(ARRIVALS)
    assert begun[1] - begun[0] == pytest.approx(0.1, abs=0.05)
    assert begun[2] - begun[1] == pytest.approx(0.1, abs=0.05)
    assert begun[3] - begun[0] >= 1.0  # all three are busy until the first is done


def test_lingering_makes_batches_and_batches_keep_to_their_bound():
    def batches(**more):
        async def main():
            return await Pipeline(maker(MemoryStore()), run=simulated(lambda _: 0.001), **more).run(source())

        return run_simulated(main()).batches

    alone, lingering = batches(batch=1), batches(linger_s=0.05)
    assert alone == len(ARRIVALS)
    assert lingering < alone / 2
    assert batches(batch=4, linger_s=0.05) >= len(ARRIVALS) / 4


def test_waits_are_counted_from_when_an_event_was_due():
    async def main():
        loop = asyncio.get_running_loop()
        async with Pipeline(maker(MemoryStore()), run=simulated(lambda _: 0.5)) as pipeline:
            await asyncio.sleep(3.0)
            await pipeline.submit(ARRIVALS[0][1], due=1.0)
            await pipeline.drain()
            return pipeline.report.waits, loop.time()

    (waited,), _ = run_simulated(main())
    assert waited == pytest.approx((1.0, 2.5), abs=0.01)  # due at 1, submitted at 3, written at 3.5


def test_two_writers_with_events_of_one_interaction_embed_once():
    one = next(one for one in STREAM if one.follow_up)

    async def main():
        store = MemoryStore()
        pipeline = Pipeline(maker(store), run=simulated(lambda _: 0.01), writers=5, batch=1)
        async with pipeline:
            for event in [*one.events, *reversed(one.events)]:
                await pipeline.submit(event)
            await pipeline.drain()
        return pipeline, maker(store)("reader").read(one.name)

    pipeline, vector = run_simulated(main())
    assert vector is not None
    assert pipeline.report.embedded == sum(worker.tally.embeddings for worker in pipeline.workers) == 1
    assert sum(worker.tally.seals > 0 for worker in pipeline.workers) > 1


def test_embeddings_that_fail_are_reported_and_the_rest_go_on():
    class Hopeless(MemoryStore):
        def get_many(self, *given, **more):
            raise StoreFull("full")

    async def main():
        return await Pipeline(maker(Hopeless())).run(source(paced=False))

    report = run_real(main())
    assert report.failures == ["embedding: StoreFull"] * sum(one.follow_up for one in STREAM)
    assert (report.embedded, report.events) == (0, len(ARRIVALS))


def test_an_embedder_that_raises_anything_costs_its_vector_and_no_more():
    """Every third embedding fails with an error of its own; the pipeline ends, and the rest are there."""
    store, calls = MemoryStore(), itertools.count()

    def failing(texts):
        if next(calls) % 3 == 0:
            raise ZeroDivisionError("a bug of the embedder")
        return hashed_trigrams(texts)

    async def main():
        pipeline = Pipeline(lambda name: TwoTables(store, KEYS, lambda: 1e6, failing, name), embedders=2)
        return await pipeline.run(source(paced=False))

    report = run_real(main())
    wanted = sum(one.follow_up for one in STREAM)
    assert report.failures == ["embedding: ZeroDivisionError"] * -(-wanted // 3)
    assert report.embedded == wanted - len(report.failures)
    read = [maker(store)("reader").read(one.name) is not None for one in STREAM]
    assert sum(read) == report.embedded
    assert report.events == len(ARRIVALS)


def timed(store, **more):
    """A maker of workers whose clock is the loop's."""
    loop = asyncio.get_running_loop()
    return lambda name: TwoTables(store, KEYS, lambda: 1e6 + loop.time(), hashed_trigrams, name, **more)


def test_a_claim_that_waited_longer_than_its_lease_is_not_embedded_twice():
    """One embedder of two seconds, leases of five, and each trigger delivered again after six: by then most
    claims wait in the queue with their leases over."""
    wanted = [one for one in STREAM if one.follow_up]
    again = [(6.0 + 0.01 * number, one.events[-1]) for number, one in enumerate(wanted)]
    arrivals = sorted([(0.001 * at, event) for at, event in ARRIVALS] + again, key=lambda pair: pair[0])

    async def main():
        run = simulated(lambda verb: 2.0 if verb == "embed" else 0.001)
        pipeline = Pipeline(timed(MemoryStore()), run=run, queue=1000)
        return pipeline, await pipeline.run(source(arrivals))

    pipeline, report = run_simulated(main())
    assert len(wanted) == 10
    assert sum(worker.tally.embeddings for worker in pipeline.workers) == report.embedded == len(wanted)
    assert report.dropped >= 5
    assert report.longest_claims > 10  # claims that were taken over wait twice
    assert report.failures == []


def test_a_renewed_lease_covers_the_embedding_and_no_more():
    """Renewed when the embedding begins at 3 s, the lease of five seconds holds at 7 and not at 9."""
    store, one = MemoryStore(), next(one for one in STREAM if one.follow_up)
    clock = Ticks(1e6)
    first, second = (TwoTables(store, KEYS, clock, hashed_trigrams, name) for name in ("a", "b"))
    ((image, token),) = first.write(list(one.events))
    clock.now += 3.0
    assert first.renew(one.name, token)
    clock.now += 4.0
    assert not second.claim(one.name, "b.1")
    clock.now += 2.0
    assert second.claim(one.name, "b.1")
    assert not first.renew(one.name, token)  # taken over
    assert second.renew(one.name, "b.1")
    assert second.finish(one.name, "b.1")
    assert not second.renew(one.name, "b.1")  # done
    assert TwoTables(store, KEYS, clock, hashed_trigrams, claims=False).renew(one.name, "any")
    assert image["interaction"] == one.name


def test_only_a_claim_that_waited_renews_its_lease():
    """Two follow-ups at once, one embedder, leases of five seconds: the second waits as long as the first
    takes, and renews from a tenth of the lease on."""
    pair = [one for one in STREAM if one.follow_up][:2]
    arrivals = [(0.0, event) for one in pair for event in one.events]

    def renewals(takes_s):
        verbs = []

        def latency(verb):
            verbs.append(verb)
            return takes_s if verb == "embed" else 0.001

        async def main():
            pipeline = Pipeline(timed(MemoryStore()), run=simulated(latency), linger_s=0.01)
            return await pipeline.run(source(arrivals))

        assert run_simulated(main()).embedded == 2
        return verbs.count("renew")

    assert [renewals(takes_s) for takes_s in (0.1, 0.45, 0.55, 2.0)] == [0, 0, 1, 1]


@pytest.mark.parametrize("deadline", [0, 0.0])
def test_a_deadline_of_zero_asks_once(deadline):
    one = next(one for one in STREAM if one.follow_up)

    async def main():
        async with Pipeline(maker(MemoryStore()), run=simulated(lambda verb: 0.01)) as pipeline:
            early = await pipeline.read(one.name, deadline)
            for event in one.events:
                await pipeline.submit(event)
            await pipeline.drain()
            return early, await pipeline.read(one.name, deadline), await pipeline.read(one.name, 0.001)

    early, there, late = run_simulated(main())
    assert (early, late) == (None, None)
    assert there is not None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"queue": 0}, "queue: expected a whole number"),
        ({"embedders": -1}, "embedders: expected a whole number"),
        ({"linger_s": -0.1}, "linger_s: expected seconds >= 0, got -0.1"),
        ({"linger_s": float("nan")}, "linger_s"),
    ],
)
def test_settings_that_make_no_sense_are_named(more, said):
    with pytest.raises(StoreError, match=said):
        Pipeline(maker(MemoryStore()), **more)
