"""The tables of the context store, and what a worker decides on: which image, and whether a claim is free."""

from collections.abc import Callable

from echobook.store.conditions import Absent, AllOf, AnyOf, Below, Condition, Equals
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


def free(now_ms: int, token: str) -> Condition:
    """The embedding is not done, and nobody holds it, the holder's lease has run out, or `token` holds it.

    The last part makes the claim safe to repeat when its answer was lost.
    """
    return AllOf((Absent("done"), AnyOf((Absent("owner"), Below("lease", now_ms), Equals("owner", token)))))


def held(token: str) -> Condition:
    """The embedding is not done, and `token` holds it."""
    return AllOf((Absent("done"), Equals("owner", token)))
