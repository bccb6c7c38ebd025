"""Measured throughput and latency at a bounded load, in processes of their own.

Open loop: events have arrival times drawn beforehand and a wait is counted from the time an event was
*due*, so that a stalled store cannot hide its stall. Interactions are split over shards by number; each
shard is a process with its own embedded file, or its own connections to one server.
"""

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from echobook.data.generators.interactions import deliveries, interactions
from echobook.store.dynamodb import DynamoStore
from echobook.store.errors import StoreError
from echobook.store.events import Event
from echobook.store.pipeline import Pipeline, Report, Run, inline, threads
from echobook.store.port import Store
from echobook.store.protocol import TABLES, TwoTables
from echobook.store.sealing import KeyRing
from echobook.store.simulated_time import run_real
from echobook.store.sqlite import SqliteStore
from echobook.store.transport import SignedClient
from echobook.store.vectors import hashed_trigrams

EMBEDDED = "embedded"
_PACE_S = 0.003  # the source wakes up at most this often; its lateness counts as waiting


@dataclass(frozen=True)
class Load:
    """What a load came to.

    Attributes:
        rate: interactions a second: how many, over the time in which they began plus what the store ran
        behind. events: events written.
        p50_ms, p95_ms, p99_ms: from an event's due time to its being written, milliseconds.
        embedded: vectors published.
        failures: events or embeddings that failed.
        cpu_s: processor seconds of the shards (not of a server).
    """

    rate: float
    events: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    embedded: int
    failures: int
    cpu_s: float


def measure(
    target: str, *, rate: float, seconds: float, seed: int, shards: int = 2, context_bytes: int = 1000
) -> Load:
    """Measure a load of `rate` interactions a second for about `seconds`.

    target: `embedded`, or the address of a server of DynamoDB's protocol whose tables this creates. Raises
    StoreError when a shard dies.
    """
    if target != EMBEDDED:
        with closing(DynamoStore(SignedClient(target))) as store:
            store.create(TABLES)
    command = [sys.executable, "-m", __name__, target, str(rate), str(seconds), str(seed), str(context_bytes)]
    with ExitStack() as stack:
        started = [_start([*command, str(shard), str(shards)]) for shard in range(shards)]
        processes = [stack.enter_context(process) for process in started]
        for process in processes:
            _line(process)  # ready: the stream is generated, the store is open
        for process in processes:
            _line(process, "go")
        answers = [_line(process) for process in processes]
    if any(process.returncode for process in processes):
        raise StoreError(f"a shard of the load on {target} ended with an error; see its message above")
    return _sum([Shard(**json.loads(answer)) for answer in answers])


def _start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _line(process: subprocess.Popen[str], say: str | None = None) -> str:
    """Say a line to a process, or read one from it."""
    if process.stdin is None or process.stdout is None:
        raise StoreError("a shard has no pipes")
    if say is None:
        return process.stdout.readline()
    process.stdin.write(say + "\n")
    process.stdin.flush()
    return say


@dataclass(frozen=True)
class Shard:
    """What one process measured; times in seconds."""

    interactions: int
    span: float  # over which its interactions began
    overrun: float  # from the last event's due time to its being written
    waits: list[float]
    embedded: int
    failures: int
    cpu_s: float


def _sum(parts: Sequence[Shard]) -> Load:
    waits = np.concatenate([np.asarray(part.waits) for part in parts])
    p50, p95, p99 = (float(1000 * np.percentile(waits, share)) for share in (50, 95, 99))
    return Load(
        rate=sum(part.interactions / (part.span + max(0.0, part.overrun)) for part in parts),
        events=len(waits),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        embedded=sum(part.embedded for part in parts),
        failures=sum(part.failures for part in parts),
        cpu_s=sum(part.cpu_s for part in parts),
    )


async def _feed(pipeline: Pipeline, arrivals: Sequence[tuple[float, Event]]) -> tuple[Report, float]:
    """Submit events as they fall due; return the report and the overrun."""
    loop = asyncio.get_running_loop()
    start = loop.time()

    async def source() -> AsyncIterator[tuple[float, Event]]:
        for at, event in arrivals:
            if (wait := start + at - loop.time()) > 0:
                await asyncio.sleep(max(wait, _PACE_S))
            yield start + at, event

    report = await pipeline.run(source())
    return report, loop.time() - start - arrivals[-1][0]


@contextmanager
def _settled() -> Iterator[None]:
    """Collect garbage, then keep collections from looking again at what is there now."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def run_shard(
    store: Store,
    run: Run,
    *,
    rate: float,
    seconds: float,
    seed: int,
    context_bytes: int = 1000,
    shard: int = 0,
    shards: int = 1,
    writers: int = 1,
    batch: int = 512,
    linger_s: float = 0.005,
    ready: Callable[[], object] = lambda: None,
) -> Shard:
    """Play one shard of a load on a store and return what was measured; calls `ready` before it begins."""
    count = max(1, round(rate * seconds))
    stream = interactions(seed=seed, count=count, rate=rate, context_bytes=context_bytes)[shard::shards]
    arrivals, keys = deliveries(stream, seed=seed), KeyRing.generate()
    pipeline = Pipeline(
        lambda name: TwoTables(store, keys, time.time, hashed_trigrams, f"{shard}.{name}"),
        run=run,
        writers=writers,
        batch=batch,
        queue=10_000,
        linger_s=linger_s,
    )
    with _settled():
        ready()
        started = time.process_time()
        report, overrun = run_real(_feed(pipeline, arrivals))
    return Shard(
        interactions=len(stream),
        span=count / rate,
        overrun=overrun,
        waits=report.waits,
        embedded=report.embedded,
        failures=len(report.failures),
        cpu_s=time.process_time() - started,
    )


def main() -> None:
    """Run one shard: print a line when ready, begin at a line of input, print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, kind in zip(
        ("target", "rate", "seconds", "seed", "context", "shard", "shards"),
        (str, float, float, int, int, int, int),
        strict=True,
    ):
        parser.add_argument(name, type=kind)
    given = parser.parse_args()

    def ready() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    with ExitStack() as stack:
        if given.target == EMBEDDED:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            store: Store = SqliteStore(Path(folder, "store.db"), durable="process", checkpoint_s=0.5)
            run: Run = inline
            writers = 1
        else:
            store, writers = DynamoStore(SignedClient(given.target)), 3
            run = threads(stack.enter_context(ThreadPoolExecutor(writers + 1)))
        measured = run_shard(
            store,
            run,
            rate=given.rate,
            seconds=given.seconds,
            seed=given.seed,
            context_bytes=given.context,
            shard=given.shard,
            shards=given.shards,
            writers=writers,
            ready=ready,
        )
        store.close()
    print(json.dumps(asdict(measured)), flush=True)


if __name__ == "__main__":
    main()
