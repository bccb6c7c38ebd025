"""Is the vector there when the user answers? The real pipeline in simulated time, against the embedding's
time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from echobook.papers.context_store.material import START_S, Interaction, deliveries, interactions
from echobook.store.errors import StoreError
from echobook.store.events import Code, Event, codes
from echobook.store.items import Value
from echobook.store.memory import MemoryStore
from echobook.store.pipeline import Pipeline, simulated
from echobook.store.protocol import TwoTables
from echobook.store.sealing import KeyRing
from echobook.store.simulated_time import run_simulated
from echobook.store.vectors import hashed_trigrams

CALLS = {
    "write": 2,
    "renew": 1,
    "fetch": 1,
    "publish": 2,
    "read": 1,
}  # store calls behind each step of the pipeline


@dataclass(frozen=True)
class Timing:
    """What one simulated stream came to.

    Attributes:
        hits: for each follow-up, whether its vector was read in time.
        windows: seconds from the embedding being wanted to the follow-up's audio, a follow-up.
        embed_p99_s: 99th percentile of the simulated embedding times.
        embeddings: embeddings made.
        interactions: interactions played.
        lost: events that were delivered and not written, and failures.
        longest_queue, longest_claims: most events and claims that waited.
        longest_wait_s: longest time from an event's being due to its being written.
    """

    hits: list[bool]
    windows: list[float]
    embed_p99_s: float
    embeddings: int
    interactions: int
    lost: int
    longest_queue: int
    longest_claims: int
    longest_wait_s: float

    @property
    def hit_rate(self) -> float:
        """Share of follow-ups whose vector was there. Raises StoreError when there were none."""
        if not self.hits:
            raise StoreError(
                f"no hit rate: none of {self.interactions} interactions was followed up; "
                "try more interactions or a larger share of follow-ups"
            )
        return sum(self.hits) / len(self.hits)


def latencies(
    rng: np.random.Generator, *, embed_s: float, call_s: float = 0.004, spread: float = 0.4
) -> Callable[[str], float]:
    """Return log-normal latencies by the pipeline's verbs: medians `call_s` a store call, `embed_s`
    embedding."""

    def latency(verb: str) -> float:
        median, calls = (embed_s, 1) if verb == "embed" else (call_s, CALLS[verb])
        return float(median * rng.lognormal(0.0, spread, calls).sum())

    return latency


def simulate(
    *,
    seed: int,
    count: int,
    embed_s: float,
    follow_ups: float = 0.1,
    rate: float = 10.0,
    embedders: int = 4,
    deadline_s: float = 0.05,
    queue: int = 1000,
    trigger_early: bool = False,
) -> Timing:
    """Play a stream through the pipeline in simulated time. Deterministic for a seed.

    `embed_s`: median embedding time. `embedders`: how many run at once. `deadline_s`: what the recogniser
    waits for the read. `queue`: bound of the pipeline's queues. `trigger_early`: embed every interaction as
    soon as the user's words and the reply are stored, without the wait for the microphone's event.
    """
    rng = np.random.default_rng([seed, 2])
    stream = interactions(seed=seed, count=count, follow_ups=follow_ups, rate=rate)
    delays = latencies(rng, embed_s=embed_s)
    drawn: list[float] = []

    def latency(verb: str) -> float:
        seconds = delays(verb)
        if verb == "embed":
            drawn.append(seconds)
        return seconds

    kind = Early if trigger_early else TwoTables
    arrivals = deliveries(stream, seed=seed)
    hits, pipeline = run_simulated(_play(stream, arrivals, latency, kind, embedders, queue, deadline_s))
    report = pipeline.report
    return Timing(
        hits=hits,
        windows=[one.next_at - one.events[-1].at for one in stream if one.follow_up],
        embed_p99_s=float(np.percentile(drawn, 99)) if drawn else 0.0,
        embeddings=sum(worker.tally.embeddings for worker in pipeline.workers),
        interactions=len(stream),
        lost=len(arrivals) - report.events + len(report.failures),
        longest_queue=report.longest_queue,
        longest_claims=report.longest_claims,
        longest_wait_s=max(wait for _, wait in report.waits),
    )


@dataclass
class Early(TwoTables):
    """Embeds as soon as the needed texts are stored, whether or not the microphone will open again."""

    def due(self, image: Mapping[str, Value]) -> bool:
        """See TwoTables."""
        return super().due({**image, "ev": codes(image) | {str(Code.EXPECT)}})


async def _play(
    stream: Sequence[Interaction],
    arrivals: Sequence[tuple[float, Event]],
    latency: Callable[[str], float],
    kind: type[TwoTables],
    embedders: int,
    queue: int,
    deadline_s: float,
) -> tuple[list[bool], Pipeline]:
    loop, store, keys = asyncio.get_running_loop(), MemoryStore(), KeyRing.generate()

    def make(name: str) -> TwoTables:
        return kind(store, keys, lambda: START_S + loop.time(), hashed_trigrams, name)

    pipeline = Pipeline(make, run=simulated(latency), writers=8, embedders=embedders, queue=queue)

    async def source() -> AsyncIterator[tuple[float, Event]]:
        for at, event in arrivals:
            await asyncio.sleep(max(0.0, at - loop.time()))
            yield at, event

    async def follow_up(interaction: Interaction) -> bool:
        await asyncio.sleep(interaction.next_at - loop.time())
        return await pipeline.read(interaction.name, deadline_s) is not None

    readers = [asyncio.create_task(follow_up(one)) for one in stream if one.follow_up]
    await pipeline.run(source())
    return list(await asyncio.gather(*readers)), pipeline
