"""Random interleavings: several workers handle the events of one interaction, one store call at a time.

Each delivery of an event is a worker of its own; a scheduler picks who makes the next call. A worker may be
killed between any two calls; its event is then delivered again, as a queue does with what nobody confirmed.
After the last delivery a sweeper may finish what dead workers left. Counted are the embeddings made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from echobook.store.events import Event, complete
from echobook.store.protocol import Embed, Steps, TwoTables

TICK_S = 0.001  # seconds that pass with a call
Make = Callable[[Callable[[], float], Embed, str], TwoTables]


@dataclass
class Ticks:
    """A clock that a simulation moves: seconds since 1970."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@dataclass(frozen=True)
class Outcome:
    """What one interleaving came to.

    Attributes:
        wanted: whether the events ask for an embedding.
        embeddings: how many were made.
        ready: whether the vector can be read at the end.
        kills: how many workers were killed.
        calls: store calls made.
    """

    wanted: bool
    embeddings: int
    ready: bool
    kills: int
    calls: int

    @property
    def missed(self) -> bool:
        """Wanted, and nobody embedded."""
        return self.wanted and self.embeddings == 0

    @property
    def doubled(self) -> bool:
        """Embedded more often than once, or without being wanted."""
        return self.embeddings > self.wanted


def interleave(
    make: Make,
    events: Sequence[Event],
    rng: np.random.Generator,
    *,
    kill: float = 0.0,
    recover: Callable[[TwoTables], int] | None = None,
    clock: Ticks | None = None,
    tick_s: float = TICK_S,
) -> Outcome:
    """Run one random interleaving of the deliveries `events` (all of one interaction).

    `make`: builds a worker from a clock, an embedder and a name, over a store of its own choice. `kill`:
    probability that a worker dies before a call. `recover`: housekeeping at the end, after leases ran out.
    `clock`: the simulation's clock, where others need it too. `tick_s`: seconds that pass with each call.
    """
    time, made, kills, calls = clock or Ticks(), _Count(), 0, 0
    designs: list[TwoTables] = []
    workers: list[tuple[Event, Steps]] = []
    waiting = list(events)
    while waiting or workers:
        while waiting:  # a new worker for each delivery
            event = waiting.pop(0)
            designs.append(make(time, made, f"w{len(designs)}"))
            workers.append((event, designs[-1].steps(event)))
        at = int(rng.integers(len(workers)))
        event, steps = workers[at]
        time.now += tick_s
        if kill and rng.random() < kill:
            steps.close()
            del workers[at]
            kills += 1
            waiting.append(event)
            continue
        calls += 1
        if next(steps, None) is None:
            del workers[at]
    time.now += 2 * designs[0].lease_s
    if recover is not None:
        recover(designs[0])
    ready = designs[0].read(events[0].interaction) is not None
    return Outcome(wanted(events), made.count, ready, kills, calls)


@dataclass
class _Count:
    """An embedder that counts its calls."""

    count: int = 0

    def __call__(self, texts: Mapping[str, bytes]) -> bytes:
        self.count += 1
        return b"vector"


def wanted(events: Sequence[Event]) -> bool:
    """Say whether events ask for an embedding: the microphone opens, and the needed texts are there."""
    refs = frozenset(event.reference for event in events if event.text is not None)
    return complete({"ev": frozenset(str(event.code) for event in events), "refs": refs})
