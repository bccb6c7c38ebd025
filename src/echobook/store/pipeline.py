"""The pipeline: event source -> bounded queue -> writers -> bounded queue -> embedders -> deadline reads.

A full queue makes its producer wait (back-pressure): a slow embedder first fills its queue, then holds the
writers, then the source; nothing is dropped and memory is bounded. Writers gather in turn: one takes what
waits, up to a batch, while the others write theirs, so that under load one transaction, batch call or update
serves many events. Two writers may hold events of one interaction; the protocol makes their order immaterial.
What fails is reported and goes without context; the pipeline runs on.
"""

import asyncio
import math
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Protocol, cast, runtime_checkable

from echobook.store.errors import StoreError
from echobook.store.events import Event
from echobook.store.items import Item
from echobook.store.protocol import TwoTables

_FRESH = 0.1  # of a lease: a claim that waited longer renews it before its embedding begins


@runtime_checkable
class Run(Protocol):
    """How a blocking call of the store or the embedder is made; `verb` names it."""

    def __call__(self, verb: str, call: Callable[[], Any]) -> Awaitable[Any]: ...


async def inline(verb: str, call: Callable[[], Any]) -> Any:
    """Make the call at once: right for the embedded store, whose calls take microseconds."""
    return call()


def threads(pool: Executor) -> Run:
    """Make calls in a pool: right for servers."""

    async def run(verb: str, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, call)

    return run


def simulated(latency: Callable[[str], float]) -> Run:
    """Wait the seconds that `latency` says for a verb, then make the call: for simulated time."""

    async def run(verb: str, call: Callable[[], Any]) -> Any:
        await asyncio.sleep(latency(verb))
        return call()

    return run


@dataclass
class Report:
    """What a run of the pipeline did; times in seconds of the loop's clock."""

    events: int = 0
    batches: int = 0
    embedded: int = 0
    failures: list[str] = field(default_factory=list)
    waits: list[tuple[float, float]] = field(default_factory=list)  # due, and from due to written, an event
    longest_queue: int = 0  # events that waited for a writer
    longest_claims: int = 0  # claims that waited for an embedder
    dropped: int = 0  # claims whose lease ran out in the queue and that another delivery took over


class Pipeline:
    """Writers and embedders over workers' views of one store."""

    def __init__(
        self,
        make: Callable[[str], TwoTables],
        *,
        run: Run = inline,
        writers: int = 1,
        embedders: int = 1,
        queue: int = 1000,
        batch: int = 64,
        linger_s: float = 0.0,
    ) -> None:
        """`make`: a worker's view by its name. `queue`: bound of both queues. `batch`: most events a write.

        `linger_s`: how long a writer waits for a fuller batch; events of one interaction in a batch make one
        update, so a little waiting saves writes.
        """
        counts = {"writers": writers, "embedders": embedders, "queue": queue, "batch": batch}
        for name, count in counts.items():
            if not isinstance(count, int) or count < 1:
                raise StoreError(f"pipeline: {name}: expected a whole number, at least one, got {count}")
        if not 0 <= linger_s < math.inf:
            raise StoreError(f"pipeline: linger_s: expected seconds >= 0, got {linger_s}")
        self.report = Report()
        self._run, self._batch, self._linger = run, batch, linger_s
        self._writers = [make(f"writer{number}") for number in range(writers)]
        self._embedders = [make(f"embedder{number}") for number in range(embedders)]
        self._events: asyncio.Queue[tuple[float, Event]] = asyncio.Queue(queue)
        self._gathering = asyncio.Lock()
        self._claims: asyncio.Queue[tuple[float, Item, str]] = asyncio.Queue(queue)

    @property
    def workers(self) -> Sequence[TwoTables]:
        """All views, for their tallies."""
        return [*self._writers, *self._embedders]

    async def submit(self, event: Event, due: float | None = None) -> None:
        """Queue an event, waiting while the queue is full. `due`: when it was to arrive, loop time."""
        await self._events.put((asyncio.get_running_loop().time() if due is None else due, event))
        self.report.longest_queue = max(self.report.longest_queue, self._events.qsize())

    async def run(self, source: AsyncIterable[tuple[float, Event]]) -> Report:
        """Handle a source of (due time, event) to its end, embeddings included, and return the report."""
        async with self:
            async for due, event in source:
                await self.submit(event, due)
            await self.drain()
        return self.report

    async def __aenter__(self) -> "Pipeline":
        """Start the workers."""
        bodies = [self._write(worker) for worker in self._writers]
        bodies += [self._embed(worker) for worker in self._embedders]
        self._tasks = [asyncio.create_task(body) for body in bodies]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the workers."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def drain(self) -> None:
        """Wait until all that was submitted is written and embedded. Raises what a worker died of."""
        for join in (self._events.join, self._claims.join):
            waiting = asyncio.create_task(join())
            done, _ = await asyncio.wait({waiting, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            for task in done:
                task.result()

    async def read(self, interaction: str, deadline_s: float) -> bytes | None:
        """Return the vector as far as it is there within the deadline, else None. Never raises StoreError.

        With a deadline of zero it asks once and takes what it gets, as `vectors.read_within` does.
        """
        reader = self._writers[0]
        asked = self._run("read", lambda: reader.read(interaction))
        if deadline_s == 0:
            return cast("bytes | None", await asked)
        try:
            return await asyncio.wait_for(asked, timeout=deadline_s)
        except TimeoutError:
            return None

    async def _write(self, worker: TwoTables) -> None:
        loop = asyncio.get_running_loop()
        while True:
            taken = await self._gather()
            claimed = await self._attempt(worker, [event for _, event in taken])
            now = loop.time()
            self.report.waits += [(due, now - due) for due, _ in taken]
            self.report.events += len(taken)
            self.report.batches += 1
            for claim in claimed:
                await self._claims.put((now, *claim))
                self.report.longest_claims = max(self.report.longest_claims, self._claims.qsize())
            for _ in taken:
                self._events.task_done()

    async def _gather(self) -> list[tuple[float, Event]]:
        """Take a batch, one writer at a time."""
        async with self._gathering:
            taken = [await self._events.get()]
            if self._linger and self._events.qsize() < self._batch:
                await asyncio.sleep(self._linger)
            while len(taken) < self._batch and not self._events.empty():
                taken.append(self._events.get_nowait())
            return taken

    async def _attempt(self, worker: TwoTables, events: list[Event]) -> list[tuple[Item, str]]:
        """Write a batch; when it fails, each event by itself, so that one bad event harms no other."""
        try:
            claimed: list[tuple[Item, str]] = await self._run("write", lambda: worker.write(events))
            return claimed
        except StoreError as error:
            if len(events) == 1:
                self.report.failures.append(f"{events[0].code}: {type(error).__name__}")
                return []
        return [claim for event in events for claim in await self._attempt(worker, [event])]

    async def _embed(self, worker: TwoTables) -> None:
        while True:
            since, image, token = await self._claims.get()
            try:
                waited = asyncio.get_running_loop().time() - since
                made = await self._embedding(worker, image, token, renew=waited > _FRESH * worker.lease_s)
                self.report.embedded += made  # not `+= await`: other embedders count meanwhile
            except Exception as error:  # an embedder's error, of any type, costs its vector and no more
                self.report.failures.append(f"embedding: {type(error).__name__}")
            finally:
                self._claims.task_done()

    async def _embedding(self, worker: TwoTables, image: Item, token: str, *, renew: bool) -> bool:
        """Make a claimed embedding; `renew`: for a claim that waited, so that its lease covers all of it."""
        interaction = str(image["interaction"])
        if renew and not await self._run("renew", lambda: worker.renew(interaction, token)):
            self.report.dropped += 1
            return False
        texts = await self._run("fetch", lambda: worker.collect(image))
        if texts is None:
            return False
        vector = await self._run("embed", lambda: worker.vector(texts))
        return bool(await self._run("publish", lambda: worker.publish(interaction, vector, token)))
