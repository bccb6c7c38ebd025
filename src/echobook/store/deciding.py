"""The tables of the context store, and what a worker decides on: which image, and whether a claim is free."""

from collections.abc import Callable

from echobook.store.conditions import Absent, AllOf, AnyOf, AtLeast, Below, Condition, Equals
from echobook.store.items import Item, Table
from echobook.store.port import Store

ENTRIES = Table("context_entries", "interaction")
TEXTS = Table("context_texts", "interaction", "part")
VECTORS = Table("context_vectors", "interaction")
TABLES = (ENTRIES, TEXTS, VECTORS)

Look = Callable[[Store, Item], Item]


def returned(store: Store, image: Item) -> Item:
    """Decide on the image that the write returned."""
    return image


def read_again(store: Store, image: Item, *, consistent: bool) -> Item:
    """Decide on a separate read after the write: what the protocol avoids, kept for comparison."""
    key = ENTRIES.key(str(image["interaction"]))
    return store.get(ENTRIES, key, consistent=consistent) or key


def alive(now_s: float) -> Condition:
    """The item is missing, has no time to live, or has not expired: it lives until its second begins."""
    return AnyOf((Absent("ttl"), AtLeast("ttl", int(now_s) + 1)))


def expired(now_s: float) -> Condition:
    """The item is there and its time is over, but nobody has deleted it yet."""
    return Below("ttl", int(now_s) + 1)


def free(now_s: float, token: str) -> Condition:
    """The embedding is not done, and nobody holds it, the holder's lease has run out, or `token` holds it.

    The last part makes the claim safe to repeat when its answer was lost. An expired entry has nothing free.
    """
    unheld = AnyOf((Absent("owner"), Below("lease", round(1000 * now_s)), Equals("owner", token)))
    return AllOf((Absent("done"), unheld, alive(now_s)))


def held(now_s: float, token: str) -> Condition:
    """The embedding is not done, `token` holds it, and the entry has not expired."""
    return AllOf((Absent("done"), Equals("owner", token), alive(now_s)))
