"""Measured throughput and latency at a bounded load, in processes of their own.

Interactions are split over shards by number; each shard is a process with its own embedded file, or its own
connections to one server. `echobook.papers.context_store.shard` is what one process does.
"""

import functools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from echobook.papers.context_store import shard
from echobook.papers.context_store.shard import EMBEDDED, Setting, Shard
from echobook.store.deciding import TABLES
from echobook.store.dynamodb import DynamoStore, connect
from echobook.store.errors import StoreError
from echobook.store.servers import dynalite

_WARM_UP = 200.0, 3.0  # interactions a second, seconds


@dataclass(frozen=True)
class Load:
    """What a load came to.

    Attributes:
        rate: interactions a second: how many, over the time in which they began plus what the store ran
        behind. interactions: how many. events: events written.
        p50_ms, p95_ms, p99_ms: from an event's due time to its being written, milliseconds.
        embedded: vectors published.
        failures: events or embeddings that failed.
        cpu_s: processor seconds of the shards. server_cpu_s: of the server meanwhile; 0 when not asked for.
    """

    rate: float
    interactions: int
    events: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    embedded: int
    failures: int
    cpu_s: float
    server_cpu_s: float

    @property
    def client_ms(self) -> float:
        """Processor milliseconds of the shards an interaction."""
        return 1000 * self.cpu_s / self.interactions

    @property
    def server_ms(self) -> float:
        """Processor milliseconds of the server an interaction."""
        return 1000 * self.server_cpu_s / self.interactions


def measure(setting: Setting, *, server: int | None = None) -> Load:
    """Measure a load with as many processes as `setting` has shards.

    Creates the tables when the target is a server. `server`: its process id, to count its processor time.
    Raises StoreError when a shard dies.
    """
    if setting.target != EMBEDDED:
        with closing(DynamoStore(connect(setting.target))) as store:
            store.create(TABLES)
    with ExitStack() as stack:
        started = [_start(replace(setting, shard=number)) for number in range(setting.shards)]
        processes = [stack.enter_context(process) for process in started]
        for process in processes:
            _line(process)  # ready: the stream is generated, the store is open
        before = _cpu_s(server)
        for process in processes:
            _line(process, "go")
        answers = [_line(process) for process in processes]
        used = _cpu_s(server) - before
    if any(process.returncode for process in processes):
        raise StoreError(
            f"a shard of the load on {setting.target} ended with an error; see its message above"
        )
    return _sum([Shard(**json.loads(answer)) for answer in answers], used)


def _cpu_s(process: int | None) -> float:
    if process is None:
        return 0.0
    import psutil

    times = psutil.Process(process).cpu_times()
    return float(times.user + times.system)


def _start(setting: Setting) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", shard.__name__, json.dumps(asdict(setting))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _line(process: subprocess.Popen[str], say: str | None = None) -> str:
    """Say a line to a process, or read one from it. Raises StoreError when it died."""
    if process.stdin is None or process.stdout is None:
        raise StoreError("a shard has no pipes")
    if say is None:
        if not (line := process.stdout.readline()):
            raise StoreError("a shard of the load ended with an error; see its message above")
        return line
    process.stdin.write(say + "\n")
    process.stdin.flush()
    return say


def _sum(parts: Sequence[Shard], server_cpu_s: float) -> Load:
    waits = np.concatenate([np.asarray(part.waits) for part in parts])
    p50, p95, p99 = (float(1000 * np.percentile(waits, share)) for share in (50, 95, 99))
    return Load(
        rate=sum(part.interactions / (part.span + max(0.0, part.overrun)) for part in parts),
        interactions=sum(part.interactions for part in parts),
        events=len(waits),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        embedded=sum(part.embedded for part in parts),
        failures=sum(part.failures for part in parts),
        cpu_s=sum(part.cpu_s for part in parts),
        server_cpu_s=server_cpu_s,
    )


def fixed_loop_ms(repetitions: int = 9) -> float:
    """Return the median processor time of a fixed loop of arithmetic, milliseconds: how fast a core is."""
    times = []
    for _ in range(repetitions):
        before = time.process_time()
        functools.reduce(lambda total, number: total + number * number % 7, range(200_000), 0)
        times.append(time.process_time() - before)
    return 1000 * statistics.median(times)


@contextmanager
def _on_core(number: int) -> Iterator[None]:
    """Let the processes started inside have one core of those that this one may use.

    Changes nothing where the system cannot (only Linux can), or with one core alone.
    """
    if not hasattr(os, "sched_setaffinity") or len(allowed := sorted(os.sched_getaffinity(0))) < 2:
        yield
        return
    os.sched_setaffinity(0, {allowed[number % len(allowed)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def embedded_loads(
    *, rate: float, power_rates: Sequence[float], seconds: float, seed: int
) -> dict[str, Load]:
    """Measure the embedded store, two processes with a file each: `embedded`, `embedded-power-<rate>`.

    Waits are until a commit that survives a killed process; with `power`, until one that is flushed to disk.
    """
    setting = Setting(EMBEDDED, rate, seconds, seed, shards=2)
    loads = {"embedded": measure(setting)}
    for slower in power_rates:
        loads[f"embedded-power-{slower:g}"] = measure(replace(setting, rate=slower, durable="power"))
    return loads


def server_loads(
    root: Path, *, rates: Sequence[float], boto3_rates: Sequence[float], seconds: float, seed: int
) -> dict[str, Load]:
    """Measure dynalite: `dynamodb-protocol-<rate>` with quick calls, `boto3-<rate>` with boto3's own.

    One server, and one client process with eight writers; batches are small, so that a burst is shared out
    among them. Server and client have a core each: neither is moved nor takes the other's. A first load
    warms the server's compiler up and is not returned. Each load has interactions of its own.
    """
    loads: dict[str, Load] = {}
    kinds = {"dynamodb-protocol": rates, "boto3": boto3_rates}
    with ExitStack() as stack:
        with _on_core(1):
            address = stack.enter_context(dynalite(root))
        stack.enter_context(_on_core(0))
        setting = Setting(address, *_WARM_UP, 1000 * seed, writers=8, batch=6, linger_s=0.002)
        measure(setting)
        for name, rate in [(name, rate) for name, some in kinds.items() for rate in some]:
            fresh = 1000 * seed + len(loads) + 1
            asked = replace(
                setting, rate=rate, seconds=seconds, seed=fresh, quick=name == "dynamodb-protocol"
            )
            loads[f"{name}-{rate:g}"] = measure(asked, server=address.process)
    return loads
