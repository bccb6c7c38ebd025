"""The tables of the context store, what a worker decides on (an image, a condition), and what it counts."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from echobook.data.times import check_seconds
from echobook.store.conditions import Absent, AllOf, AnyOf, Below, Condition, Equals, Not
from echobook.store.errors import StoreError
from echobook.store.items import Item, Table
from echobook.store.port import Store

ENTRIES = Table("context_entries", "interaction")
TEXTS = Table("context_texts", "interaction", "part")
VECTORS = Table("context_vectors", "interaction")
TABLES = (ENTRIES, TEXTS, VECTORS)

Look = Callable[[Store, Item], Item]


@dataclass
class Tally:
    """What a worker did: claims tried, texts sealed and opened, embeddings made, seals found broken."""

    claims: int = 0
    seals: int = 0
    opens: int = 0
    embeddings: int = 0
    broken: int = 0


def returned(store: Store, image: Item) -> Item:
    """Decide on the image that the write returned."""
    return image


def read_again(store: Store, image: Item, *, consistent: bool) -> Item:
    """Decide on a separate read after the write: what the protocol avoids, kept for comparison."""
    key = ENTRIES.key(str(image["interaction"]))
    return store.get(ENTRIES, key, consistent=consistent) or key


def checked_time(now: float) -> float:
    """Return a clock's time. Raises StoreError, naming the unit suspected, unless it is in seconds."""
    try:
        check_seconds(now, "the clock")
    except ValueError as error:
        raise StoreError(str(error)) from error
    return now


def check_times(span_s: int, lease_s: float) -> None:
    """Raise StoreError unless the span is a whole number of seconds above 0, and the lease above 0."""
    if not isinstance(span_s, int) or span_s < 1:
        raise StoreError(f"span_s: expected a whole number of seconds, at least one, got {span_s}")
    if not 0 < lease_s < math.inf:
        raise StoreError(f"lease_s: expected seconds above 0, got {lease_s}")


def alive(now_s: float) -> Condition:
    """The item is missing, has no time to live, or has not expired: it lives until its second begins.

    One comparison, negated, for every event's write carries it and servers parse it each time.
    """
    return Not(expired(now_s))


def expired(now_s: float) -> Condition:
    """The item is there and its time is over, but nobody has deleted it yet.

    Raises StoreError for a time in another unit than seconds: every write asks this, so no clock escapes.
    """
    return Below("ttl", int(checked_time(now_s)) + 1)


def free(now_s: float, token: str) -> Condition:
    """The embedding is not done, and nobody holds it, the holder's lease has run out, or `token` holds it.

    The last part makes the claim safe to repeat when its answer was lost. An expired entry has nothing free.
    """
    unheld = AnyOf((Absent("owner"), Below("lease", round(1000 * now_s)), Equals("owner", token)))
    return AllOf((Absent("done"), unheld, alive(now_s)))


def held(now_s: float, token: str) -> Condition:
    """The embedding is not done, `token` holds it, and the entry has not expired."""
    return AllOf((Absent("done"), Equals("owner", token), alive(now_s)))
