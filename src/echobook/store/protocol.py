"""The two-table protocol of the context store, one store call a step.

For an event with text: (1) put the sealed text, (2) add code and reference to the interaction's entry and get
the entry back *in the same call*, (3) decide on that returned image only: when the microphone will open again
and the needed texts are stored, claim the embedding with a condition, (4) the one winner reads the texts with
a consistent read, opens them, embeds, puts the vector, (5) marks the entry as done. A text is stored before
it is referenced, so a reference never dangles, whatever dies when.

`steps` is a generator that yields the name of each call before making it: a test, a simulation or a scheduler
decides what happens between two calls, and dropping the generator is a killed process.

Facts on the two tables and the returned entry: the Amazon Science article; schema, condition, lease and
sealing are this project's design.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field

from echobook.store.conditions import AllOf, Condition, Equals
from echobook.store.deciding import (
    ENTRIES,
    TEXTS,
    VECTORS,
    Look,
    Tally,
    alive,
    check_times,
    expired,
    free,
    held,
    returned,
)
from echobook.store.errors import ConditionFailed, SealBroken, StoreError
from echobook.store.events import Code, Event, check_together, complete, references
from echobook.store.items import Item, Value
from echobook.store.port import Change, Store
from echobook.store.sealing import KeyProvider, seal, unseal

_ROUNDS = 8
Steps = Generator[str, None, bool]
Embed = Callable[[Mapping[str, bytes]], bytes]


@dataclass
class TwoTables:
    """One worker's view of the store.

    Attributes:
        store: back-end.
        keys: provider of keys.
        clock: seconds since 1970, from the caller.
        embed: turns the texts by reference into the bytes of a context vector.
        worker: name of this worker; each claim adds a number to it, so that no two claims look alike.
        span_s: seconds until entries, texts and vectors expire; every write of an entry starts anew.
        lease_s: seconds after which another worker may take over a claimed embedding; an embedding that takes
            longer may be made twice, and only the last owner's is marked as done.
        look: what to decide on; `returned` is the protocol.
        claims: whether the embedding is claimed with a condition; False only for comparison.
    """

    store: Store
    keys: KeyProvider
    clock: Callable[[], float]
    embed: Embed
    worker: str = "worker"
    span_s: int = 600
    lease_s: float = 5.0
    look: Look = returned
    claims: bool = True
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        """Raise StoreError for a span or lease that makes no sense."""
        check_times(self.span_s, self.lease_s)

    def steps(self, event: Event) -> Steps:
        """Handle one event; yields before each call, returns whether this one embedded."""
        if event.text is not None:
            yield "put-text"
            self.save([event])
        yield "update-entry"
        image = self.note([event])
        if self.look is not returned:
            yield "read-entry"
            image = self.look(self.store, image)
        return (yield from self.embedding(image)) if self.due(image) else False

    def embedding(self, image: Item) -> Steps:
        """Claim and make the embedding an image asks for; returns whether this one did."""
        interaction = str(image["interaction"])
        token = self.token()
        yield "claim"
        if not self.claim(interaction, token):
            return False
        yield "get-texts"
        texts = self.collect(image)
        if texts is None:
            return False
        yield "embed"
        vector = self.vector(texts)
        yield "put-vector"
        self.put_vector(interaction, vector)
        yield "mark-done"
        return self.finish(interaction, token)

    def write(self, events: Sequence[Event]) -> list[tuple[Item, str]]:
        """Steps 1 to 3 for a batch of events of any interactions, durable together where the store can.

        Events of one interaction make one update. Returns the claimed images with their tokens.
        """
        by_interaction: dict[str, list[Event]] = {}
        for event in events:
            by_interaction.setdefault(event.interaction, []).append(event)
        claimed = []
        with self.store.together():
            self.save(events)
            for interaction, group in by_interaction.items():
                image = self.look(self.store, self.note(group))
                if self.due(image) and self.claim(interaction, token := self.token()):
                    claimed.append((image, token))
        return claimed

    def vector(self, texts: Mapping[str, bytes]) -> bytes:
        """Embed and count."""
        self.tally.embeddings += 1
        return self.embed(texts)

    def publish(self, interaction: str, vector: bytes, token: str) -> bool:
        """Put the vector and mark the entry as done; False when another worker took over meanwhile."""
        with self.store.together():
            self.put_vector(interaction, vector)
            return self.finish(interaction, token)

    def token(self) -> str:
        """Return a fresh name for one claim of this worker."""
        self.tally.claims += 1
        return f"{self.worker}.{self.tally.claims}"

    def expiry(self) -> int:
        """Return the time to live of what is written now: whole seconds since 1970."""
        return int(self.clock()) + self.span_s

    def seal(self, text: bytes, reference: str) -> bytes:
        """Seal and count."""
        self.tally.seals += 1
        return seal(text, reference, self.keys)

    def unseal(self, sealed: Value, reference: str) -> bytes:
        """Open and count. Raises SealBroken."""
        self.tally.opens += 1
        if not isinstance(sealed, bytes):
            raise SealBroken(f"{reference}: not a sealed value")
        return unseal(sealed, reference, self.keys)

    def save(self, events: Sequence[Event]) -> None:
        """Step 1: put the sealed texts of events."""
        expiry = self.expiry()
        items: dict[str, Item] = {}
        for event in events:
            if event.text is not None:
                items[event.reference] = {
                    "interaction": event.interaction,
                    "part": event.part,
                    "kind": event.kind,
                    "c": self.seal(event.text, event.reference),
                    "ttl": expiry,
                }
        if items:
            self.store.put_many(TEXTS, list(items.values()))

    def note(self, events: Sequence[Event]) -> Item:
        """Step 2: add events of one interaction (else StoreError) to its entry and return the entry."""
        check_together(events)
        adds: dict[str, frozenset[str] | int] = {"ev": frozenset(str(event.code) for event in events)}
        if refs := frozenset(event.reference for event in events if event.text is not None):
            adds["refs"] = refs
        times: dict[str, Value] = {f"t_{event.code.lower()}": round(1000 * event.at) for event in events}
        return self.enter(events[0].interaction, adds, times)

    def enter(
        self, interaction: str, adds: Mapping[str, frozenset[str] | int], sets: Mapping[str, Value]
    ) -> Item:
        """Add to an entry, start its time anew, and return it as it then is.

        An entry that has expired and is still there counts as missing: what is delivered after the time span
        begins an entry of its own and brings nothing back.
        """
        key = ENTRIES.key(interaction)
        for _ in range(_ROUNDS):
            now, lives = self.clock(), {**sets, "ttl": self.expiry()}
            try:
                return self.store.update(ENTRIES, key, Change(add=adds, set=lives), condition=alive(now))
            except ConditionFailed:
                fresh: Item = {**key, **adds, **lives}
            try:
                self.store.put(ENTRIES, fresh, condition=expired(now))
                return fresh
            except ConditionFailed:
                continue  # another worker replaced or deleted it meanwhile
        raise StoreError(f"{interaction}: the entry expired and came back {_ROUNDS} times meanwhile")

    def due(self, image: Mapping[str, Value]) -> bool:
        """Step 3: say whether an image asks this worker to embed. Pure."""
        if not complete(image) or "done" in image:
            return False
        lease = image.get("lease")
        return "owner" not in image or (isinstance(lease, int) and lease < self._now_ms())

    def claim(self, interaction: str, token: str) -> bool:
        """Step 3: take the embedding under a fresh token, unless somebody has it."""
        now = self.clock()
        change = Change(
            add={"ev": frozenset({str(Code.EMBEDDING)})},
            set={"owner": token, "lease": self._lease_end(), "ttl": self.expiry()},
        )
        condition = free(now, token) if self.claims else None
        return self._update_if(interaction, change, condition)

    def renew(self, interaction: str, token: str) -> bool:
        """Begin the lease of a claim anew; False when it was lost or the embedding is done.

        For a claim that waited in a queue: its lease began when it was queued.
        """
        change = Change(set={"lease": self._lease_end(), "ttl": self.expiry()})
        condition = held(self.clock(), token) if self.claims else None
        return self._update_if(interaction, change, condition)

    def collect(self, image: Mapping[str, Value]) -> dict[str, bytes] | None:
        """Step 4: read and open the texts that an image references, in the order of the references.

        A text that expired or does not open is left out; None when a required one is.
        """
        keys = [TEXTS.key(*(ref.split("#", 1)[0], ref.split("#", 1)[1])) for ref in sorted(references(image))]
        texts: dict[str, bytes] = {}
        for item in self.store.get_many(TEXTS, keys):
            reference = "#".join(TEXTS.identity(item))
            if not self.live(item):
                continue
            try:
                texts[reference] = self.unseal(item.get("c", ""), reference)
            except SealBroken:
                self.tally.broken += 1
        whole = {"ev": frozenset({str(Code.EXPECT)}), "refs": frozenset(texts)}
        return texts if complete(whole) else None

    def put_vector(self, interaction: str, vector: bytes) -> None:
        """Step 4: put the sealed vector."""
        sealed = self.seal(vector, f"{interaction}#vector")
        item: Item = {"interaction": interaction, "v": sealed, "ttl": self.expiry()}
        self.store.put(VECTORS, item)

    def finish(self, interaction: str, token: str) -> bool:
        """Step 5: mark the entry as done; False when another worker took over meanwhile."""
        change = Change(add={"ev": frozenset({str(Code.EMBEDDED)})}, set={"done": 1, "ttl": self.expiry()})
        condition = AllOf((Equals("owner", token), alive(self.clock()))) if self.claims else None
        return self._update_if(interaction, change, condition)

    def read(self, interaction: str) -> bytes | None:
        """Return the context vector, or None: missing, expired, broken, or the store failed.

        Raises nothing, whatever the tables hold: a damaged item is a broken seal, and back-ends raise
        StoreError only, also for an answer that makes no sense.
        """
        try:
            item = self.store.get(VECTORS, VECTORS.key(interaction))
            if item is None or not self.live(item):
                return None
            return self.unseal(item.get("v", ""), f"{interaction}#vector")
        except SealBroken:
            self.tally.broken += 1
        except StoreError:
            pass
        return None

    def live(self, item: Mapping[str, Value]) -> bool:
        """Say whether an item has not expired; servers delete late or never, so every read asks."""
        ttl = item.get("ttl")
        return isinstance(ttl, int) and ttl > self.clock()

    def _update_if(self, interaction: str, change: Change, condition: Condition | None) -> bool:
        try:
            self.store.update(ENTRIES, ENTRIES.key(interaction), change, condition=condition)
        except ConditionFailed:
            return False
        return True

    def _lease_end(self) -> int:
        return self._now_ms() + round(1000 * self.lease_s)

    def _now_ms(self) -> int:
        return round(1000 * self.clock())


def drive(steps: Steps) -> bool:
    """Run steps to their end without a pause and return their result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return bool(end.value)
