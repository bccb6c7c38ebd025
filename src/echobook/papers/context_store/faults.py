"""Every fault that a follow-up may meet, and what the recogniser then gets: the vector, or nothing, never
an error.

Each scenario plays one interaction whose microphone reopens, breaks something, and reads as the recogniser
does.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from echobook.papers.context_store.material import START_S, Interaction, interactions
from echobook.papers.context_store.nonsense import NonsenseClient
from echobook.store.deciding import TEXTS, VECTORS
from echobook.store.dynamodb import DynamoStore
from echobook.store.errors import StoreError, StoreFull
from echobook.store.events import Code, Event
from echobook.store.faults import Failing, Flaky
from echobook.store.interleave import Ticks
from echobook.store.items import Item, Value
from echobook.store.memory import MemoryStore
from echobook.store.port import Change, Store
from echobook.store.protocol import TwoTables, drive
from echobook.store.retry import Retrying
from echobook.store.sealing import KeyRing
from echobook.store.sweeping import recover
from echobook.store.vectors import hashed_trigrams, read_within


@dataclass
class Scene:
    """One interaction with its store, keys and clock; scenarios break parts of it."""

    interaction: Interaction
    rng: np.random.Generator
    store: Store = field(default_factory=MemoryStore)
    keys: KeyRing = field(default_factory=KeyRing.generate)
    clock: Ticks = field(default_factory=lambda: Ticks(START_S))

    def worker(self, name: str = "w", store: Store | None = None) -> TwoTables:
        """Return a worker's view, over another store if given."""
        return TwoTables(store or self.store, self.keys, self.clock, hashed_trigrams, name)

    def play(self, events: list[Event] | None = None, store: Store | None = None) -> None:
        """Handle events (default: all) one by one; what fails is lost, as for a queue that gives up."""
        worker = self.worker(store=store)
        for event in list(self.interaction.events) if events is None else events:
            try:
                drive(worker.steps(event))
            except StoreError:
                continue

    def read(self) -> bytes | None:
        """Read as the recogniser does."""
        return read_within(lambda: self.worker().read(self.interaction.name), 0.0)

    def overwrite(self, change: dict[str, Value], *, vector: bool = True) -> None:
        """Change the stored vector, or all stored texts."""
        name = self.interaction.name
        table = VECTORS if vector else TEXTS
        keys = [{part: item[part] for part in table.keys} for item in self.store.query(table, name)]
        for key in keys:
            self.store.update(table, key, Change(set=change))


def _plain(scene: Scene) -> None:
    scene.play()


def _duplicated(scene: Scene) -> None:
    scene.play([event for event in scene.interaction.events for _ in range(3)])


def _reordered(scene: Scene) -> None:
    events = list(scene.interaction.events)
    scene.rng.shuffle(events)  # type: ignore[arg-type]
    scene.play(events)


def _lost_context(scene: Scene) -> None:
    scene.play([event for event in scene.interaction.events if event.code != Code.CONTEXT])


def _lost_reply(scene: Scene) -> None:
    scene.play([event for event in scene.interaction.events if event.kind != "reply"])


def _expired(scene: Scene) -> None:
    scene.play()
    scene.clock.now += 10_000


def _expired_texts(scene: Scene) -> None:
    *before, last = scene.interaction.events
    scene.play(before)
    scene.overwrite({"ttl": int(scene.clock()) - 1}, vector=False)
    scene.play([last])


def _tampered(scene: Scene) -> None:
    scene.play()
    sealed = _vector(scene)
    at = int(scene.rng.integers(len(sealed)))
    scene.overwrite({"v": sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]})


def _tampered_texts(scene: Scene) -> None:
    *before, last = scene.interaction.events
    scene.play(before)
    scene.overwrite({"c": b"\x01\x02k1" + bytes(40)}, vector=False)
    scene.play([last])


def _swapped(scene: Scene) -> None:
    """The vector of another interaction, sealed with the right key, under this one's reference."""
    scene.play()
    other = scene.worker()
    other.put_vector("another", b"another interaction's vector")
    item = scene.store.get(VECTORS, VECTORS.key("another")) or {}
    scene.overwrite({"v": item["v"]})


def _wrong_key(scene: Scene) -> None:
    scene.play()
    scene.keys = KeyRing.generate()


def _forgotten_key(scene: Scene) -> None:
    scene.play()
    old = scene.keys.current()[0]
    scene.keys.rotate()
    scene.keys.forget(old)


def _rotated_key(scene: Scene) -> None:
    *before, last = scene.interaction.events
    scene.play(before)
    scene.keys.rotate()
    scene.play([last])
    scene.keys.rotate()


def _throttled(scene: Scene) -> None:
    flaky = Flaky(scene.store, scene.rng, throttled=0.3, lost=0.1)
    scene.play(store=Retrying(flaky, scene.rng, sleep=_advance(scene), attempts=12))


def _throttled_forever(scene: Scene) -> None:
    flaky = Flaky(scene.store, scene.rng, throttled=0.999)
    scene.play(store=Retrying(flaky, scene.rng, sleep=_advance(scene), attempts=3))


def _disk_full(scene: Scene) -> None:
    at = int(scene.rng.integers(1, 9))
    scene.play(store=Failing(scene.store, range(at, 100), StoreFull("full on purpose")))


def _worker_dies(scene: Scene) -> None:
    *before, last = scene.interaction.events
    scene.play(before)
    steps = scene.worker("dead").steps(last)
    for _ in range(int(scene.rng.integers(2, 7))):
        next(steps, None)
    steps.close()
    scene.clock.now += 60
    recover(scene.worker("heir"))


def _late(scene: Scene) -> None:
    """The follow-up arrives while the embedding still runs."""
    *before, last = scene.interaction.events
    scene.play(before)
    steps = scene.worker().steps(last)
    while next(steps) != "put-vector":
        pass
    steps.close()


def _damaged(scene: Scene) -> None:
    """The vector's item lost an attribute, or holds text in place of bytes."""
    scene.play()
    lost = Change(remove=("v",)) if scene.rng.random() < 0.5 else Change(set={"v": "text"})
    scene.store.update(VECTORS, VECTORS.key(scene.interaction.name), lost)


def _nonsense(scene: Scene) -> None:
    scene.play()
    scene.store = DynamoStore(NonsenseClient(scene.rng))


def _advance(scene: Scene) -> Callable[[float], None]:
    def sleep(seconds: float) -> None:
        scene.clock.now += seconds

    return sleep


def _vector(scene: Scene) -> bytes:
    item: Item = scene.store.get(VECTORS, VECTORS.key(scene.interaction.name)) or {}
    sealed = item["v"]
    if not isinstance(sealed, bytes):
        raise StoreError("the stored vector is not bytes")
    return sealed


SCENARIOS: dict[str, Callable[[Scene], None]] = {
    "no fault": _plain,
    "events delivered three times": _duplicated,
    "events in another order": _reordered,
    "context event lost": _lost_context,
    "reply event lost": _lost_reply,
    "everything expired": _expired,
    "texts expired early": _expired_texts,
    "vector altered": _tampered,
    "texts altered": _tampered_texts,
    "vector of another interaction": _swapped,
    "wrong key": _wrong_key,
    "key forgotten": _forgotten_key,
    "keys rotated": _rotated_key,
    "throttled and answers lost, retried": _throttled,
    "throttled without end": _throttled_forever,
    "disk full from some call on": _disk_full,
    "worker killed, then recovered": _worker_dies,
    "embedding too late": _late,
    "vector item damaged": _damaged,
    "server answers nonsense": _nonsense,
}
SURVIVED = {
    "no fault",
    "events delivered three times",
    "events in another order",
    "context event lost",
    "keys rotated",
    "throttled and answers lost, retried",
    "worker killed, then recovered",
}
MAY_LACK_THE_LIST = {
    "events in another order",
    "context event lost",
    "throttled and answers lost, retried",
}


@dataclass(frozen=True)
class FaultCount:
    """Over repetitions of a scenario: right vectors, nothing, other vectors, and errors at the recogniser."""

    right: int = 0
    nothing: int = 0
    wrong: int = 0
    raised: int = 0


def expected_vectors(interaction: Interaction, *, whole: bool = False) -> set[bytes]:
    """Return the vectors that are right: of all texts, or, unless `whole`, of all but the context list."""
    texts = {event.reference: event.text for event in interaction.events if event.text is not None}
    ordered = {reference: texts[reference] for reference in sorted(texts)}
    needed = {ref: text for ref, text in ordered.items() if ref.split("#")[1] in ("utterance", "reply")}
    return {hashed_trigrams(ordered)} if whole else {hashed_trigrams(ordered), hashed_trigrams(needed)}


def count_faults(name: str, *, repetitions: int, seed: int) -> FaultCount:
    """Repeat a scenario of `SCENARIOS` with fresh interactions and count what the recogniser gets.

    Only the scenarios in `MAY_LACK_THE_LIST` may give a vector without the context list. Whatever is raised,
    of any type, counts as raised. Raises StoreError for an unknown name.
    """
    if name not in SCENARIOS:
        raise StoreError(f"fault {name!r}: expected one of {', '.join(SCENARIOS)}")
    rng = np.random.default_rng([seed, 3])
    stream = interactions(seed=seed, count=repetitions, follow_ups=1.0, context_bytes=200)
    right = nothing = wrong = raised = 0
    for interaction in stream:
        scene = Scene(interaction, rng)
        try:
            SCENARIOS[name](scene)
            vector = scene.read()
        except Exception:  # the recogniser would meet it, whatever it is
            raised += 1
            continue
        expected = expected_vectors(interaction, whole=name not in MAY_LACK_THE_LIST)
        nothing += vector is None
        right += vector in expected
        wrong += vector is not None and vector not in expected
    return FaultCount(right, nothing, wrong, raised)
