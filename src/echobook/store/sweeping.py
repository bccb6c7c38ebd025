"""Housekeeping: deleting what expired, and finishing embeddings whose worker died.

DynamoDB deletes expired items on its own, often a day late; emulators and SQLite never do. The protocol
filters on read, so sweeping is about space and privacy, not about answers. Deleting is conditional on the
time to live, so that an entry which was written again meanwhile stays.
"""

from collections.abc import Callable, Iterator

from echobook.store.conditions import Below
from echobook.store.deciding import ENTRIES, TABLES, checked_time
from echobook.store.errors import ConditionFailed
from echobook.store.items import Item
from echobook.store.port import Store
from echobook.store.protocol import TwoTables, drive


def sweep(store: Store, clock: Callable[[], float]) -> int:
    """Delete expired items of all tables and return how many.

    Raises StoreError for a clock in another unit than seconds since 1970: by one in milliseconds all would
    be expired.
    """
    deleted, bound = 0, int(checked_time(clock())) + 1
    for table in TABLES:
        for item in store.scan(table):
            ttl = item.get("ttl")
            if not isinstance(ttl, int) or ttl >= bound:
                continue
            try:
                store.delete(table, {name: item[name] for name in table.keys}, condition=Below("ttl", bound))
            except ConditionFailed:
                continue
            deleted += 1
    return deleted


def orphans(design: TwoTables) -> Iterator[Item]:
    """Go through entries that ask for an embedding which nobody is making."""
    for image in design.store.scan(ENTRIES):
        if design.live(image) and design.due(image):
            yield image


def recover(design: TwoTables) -> int:
    """Make the embeddings that dead workers left, and return how many this worker made."""
    return sum(drive(design.embedding(image)) for image in orphans(design))
