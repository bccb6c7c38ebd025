"""One process of a measured load: plays its share of a stream on a store, in real time.

Open loop: events have arrival times drawn beforehand and a wait is counted from the time an event was
*due*, so that a stalled store cannot hide its stall.
"""

import asyncio
import gc
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from echobook.papers.context_store.material import deliveries, interactions
from echobook.store.dynamodb import DynamoStore, connect
from echobook.store.events import Event
from echobook.store.pipeline import Pipeline, Report, Run, inline, threads
from echobook.store.port import Store
from echobook.store.protocol import TwoTables
from echobook.store.retry import Retrying
from echobook.store.sealing import KeyRing
from echobook.store.simulated_time import run_real
from echobook.store.sqlite import SqliteStore
from echobook.store.vectors import hashed_trigrams

EMBEDDED = "embedded"
# A thread with an answer waits this long, then asks for the interpreter; Python's default is ten times it.
_TURN_S = 0.0005
_PACE_S = 0.003  # the source wakes up at most this often; its lateness counts as waiting


@dataclass(frozen=True)
class Setting:
    """What one process is to play.

    Attributes:
        target: `embedded`, or the address of a server of DynamoDB's protocol.
        rate: interactions a second, of all shards together. seconds: length of the stream.
        seed: of the stream. context_bytes: size of the context list.
        shard, shards: this process's number, and how many there are; interactions are dealt out in turn.
        writers, batch, linger_s: see `Pipeline`.
        durable: of the embedded store, see `SqliteStore`.
        quick: whether boto3 sends through `echobook.store.transport`.
    """

    target: str
    rate: float
    seconds: float
    seed: int
    context_bytes: int = 1000
    shard: int = 0
    shards: int = 1
    writers: int = 1
    batch: int = 512
    linger_s: float = 0.005
    durable: Literal["process", "power"] = "process"
    quick: bool = True


@dataclass(frozen=True)
class Shard:
    """What one process measured; times in seconds.

    Attributes:
        interactions: how many began. span: over how long they began.
        overrun: from the last event's due time to all being written and embedded.
        waits: from due to written, one for each event. embedded: vectors published. failures: events or
        embeddings that failed. cpu_s: processor time.
    """

    interactions: int
    span: float
    overrun: float
    waits: list[float]
    embedded: int
    failures: int
    cpu_s: float


def play(setting: Setting, store: Store, run: Run, ready: Callable[[], object] = lambda: None) -> Shard:
    """Play a share of a load on a store and return what was measured; calls `ready` before it begins."""
    count = max(1, round(setting.rate * setting.seconds))
    stream = interactions(
        seed=setting.seed, count=count, rate=setting.rate, context_bytes=setting.context_bytes
    )[setting.shard :: setting.shards]
    arrivals, keys = deliveries(stream, seed=setting.seed), KeyRing.generate()
    pipeline = Pipeline(
        lambda name: TwoTables(store, keys, time.time, hashed_trigrams, f"{setting.shard}.{name}"),
        run=run,
        writers=setting.writers,
        batch=setting.batch,
        queue=10_000,
        linger_s=setting.linger_s,
    )
    with _settled():
        ready()
        started = time.process_time()
        report, overrun = run_real(_feed(pipeline, arrivals))
    return Shard(
        interactions=len(stream),
        span=count / setting.rate,
        overrun=overrun,
        waits=[wait for _, wait in sorted(report.waits)],
        embedded=report.embedded,
        failures=len(report.failures),
        cpu_s=time.process_time() - started,
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


def _opened(setting: Setting, stack: ExitStack) -> tuple[Store, Run]:
    if setting.target == EMBEDDED:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        path = Path(folder, "store.db")
        store: Store = SqliteStore(path, durable=setting.durable, checkpoint_s=0.5)
        return _retrying(store, setting), inline
    client = connect(setting.target, quick=setting.quick)
    return _retrying(DynamoStore(client), setting), threads(
        stack.enter_context(ThreadPoolExecutor(setting.writers + 1))
    )


def _retrying(store: Store, setting: Setting) -> Store:
    return Retrying(store, np.random.default_rng([setting.seed, setting.shard]), sleep=time.sleep)


def main() -> None:
    """Play one setting, given as JSON: say when ready, begin at a line of input, print the result."""
    setting = Setting(**json.loads(sys.argv[1]))
    sys.setswitchinterval(_TURN_S)

    def ready() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    with ExitStack() as stack:
        store, run = _opened(setting, stack)
        measured = play(setting, store, run, ready)
        store.close()
    print(json.dumps(asdict(measured)), flush=True)


if __name__ == "__main__":
    main()
