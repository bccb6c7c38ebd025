"""The port of the context store: what the protocol asks of a table, and the meaning of an update.

Back-ends: memory (dictionaries), SQLite (one durable file) and DynamoDB (boto3, any endpoint). All answer
alike, to the last attribute; tests send them the same random operations and compare. Each counts the calls it
made and the capacity units they cost in `spent`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from echobook.store.conditions import Condition
from echobook.store.errors import StoreError
from echobook.store.items import Item, Table, Value, check_value

_ADDABLE = (int, frozenset)


@dataclass(frozen=True)
class Change:
    """What an update does to an item: `add` unites sets or adds numbers, `set` writes, `remove` deletes.

    An attribute may appear once. Adding to a missing attribute starts from the empty set or zero.
    """

    add: Mapping[str, frozenset[str] | int] = field(default_factory=dict)
    set: Mapping[str, Value] = field(default_factory=dict)
    remove: tuple[str, ...] = ()

    def check(self, table: Table) -> None:
        """Raise StoreError for key attributes, repeated attributes, bad values or an empty change."""
        names = (*self.add, *self.set, *self.remove)
        if not names or len({*names, *table.keys}) < len(names) + len(table.keys):
            raise StoreError(
                f"{table.name}: change of {list(names)}: expected distinct attributes other than the key"
            )
        for name, value in (*self.add.items(), *self.set.items()):
            check_value(table, name, value)
        for value in self.add.values():
            if not isinstance(value, _ADDABLE):
                raise StoreError(f"{table.name}: add: expected sets or numbers")


@dataclass(frozen=True)
class Put:
    """A write of a transaction: a whole item, if the condition holds."""

    table: Table
    item: Item
    condition: Condition | None = None


@dataclass(frozen=True)
class Update:
    """A write of a transaction: a change of one item, if the condition holds."""

    table: Table
    key: Item
    change: Change
    condition: Condition | None = None


Write = Put | Update


@dataclass
class Spent:
    """Calls by verb, and capacity units."""

    calls: Counter[str] = field(default_factory=Counter)
    read_units: float = 0.0
    write_units: float = 0.0

    def read(self, verb: str, units: float) -> None:
        """Note a read."""
        self.calls[verb] += 1
        self.read_units += units

    def write(self, verb: str, units: float) -> None:
        """Note a write."""
        self.calls[verb] += 1
        self.write_units += units


@runtime_checkable
class Store(Protocol):
    """A key-value store of a few tables. Every write of one item is atomic.

    All raise StoreError for malformed arguments, ItemTooLarge, StoreFull and Throttled.
    """

    @property
    def spent(self) -> Spent:
        """Calls and units so far."""

    def put(self, table: Table, item: Item, *, condition: Condition | None = None) -> None:
        """Write a whole item. Raises ConditionFailed."""

    def put_many(self, table: Table, items: Sequence[Item]) -> None:
        """Write items with distinct keys; all are there when it returns, some of them when it raises."""

    def update(self, table: Table, key: Item, change: Change, *, condition: Condition | None = None) -> Item:
        """Change one item (create it when missing) and return it as it then is. Raises ConditionFailed."""

    def get(self, table: Table, key: Item, *, consistent: bool = True) -> Item | None:
        """Return an item or None; without `consistent` it may be an old image."""

    def get_many(self, table: Table, keys: Sequence[Item], *, consistent: bool = True) -> list[Item]:
        """Return those items that exist, in the order of the keys."""

    def query(self, table: Table, partition: str, *, prefix: str = "", consistent: bool = True) -> list[Item]:
        """Return the items of a partition whose sort value begins with `prefix`, in its order."""

    def delete(self, table: Table, key: Item, *, condition: Condition | None = None) -> None:
        """Delete an item; a missing one is no error. Raises ConditionFailed."""

    def scan(self, table: Table) -> Iterable[Item]:
        """Go through a table in no particular order; items written meanwhile may or may not appear."""

    def transact(self, writes: Sequence[Write]) -> None:
        """Do all writes or none; one write an item. Raises ConditionFailed, or Unsupported."""

    def together(self) -> AbstractContextManager[None]:
        """Where the back-end can, make the writes inside durable in one go (and undo them on an error)."""

    def close(self) -> None:
        """Release files and connections."""


def changed(table: Table, key: Item, before: Mapping[str, Value] | None, change: Change) -> Item:
    """Return the item that `change` makes of `before` (None: no item); its size is the caller's to check.

    Raises StoreError when it adds to an attribute of another type.
    """
    after: Item = dict(before) if before is not None else dict(key)
    for name, value in change.add.items():
        after[name] = _sum(table, name, after.get(name), value)
    after.update(change.set)
    for name in change.remove:
        after.pop(name, None)
    return after


def _sum(table: Table, name: str, old: Value | None, new: frozenset[str] | int) -> Value:
    if old is None:
        return new
    if isinstance(old, frozenset) and isinstance(new, frozenset):
        return old | new
    if isinstance(old, int) and isinstance(new, int):
        return old + new
    raise StoreError(f"{table.name}: cannot add {type(new).__name__} to {name!r}, a {type(old).__name__}")


def check_distinct_writes(writes: Sequence[Write]) -> None:
    """Raise StoreError when a transaction has no write or writes an item twice."""
    keys = [write.item if isinstance(write, Put) else write.key for write in writes]
    names = [(write.table.name, *write.table.identity(key)) for write, key in zip(writes, keys, strict=True)]
    if not names or len(set(names)) < len(names):
        raise StoreError("a transaction needs at least one write, and at most one of each item")


def check_distinct(table: Table, keys: Iterable[Mapping[str, Value]]) -> None:
    """Raise StoreError when a key is given twice."""
    names = [table.identity(key) for key in keys]
    if len(set(names)) < len(names):
        raise StoreError(f"{table.name}: a key appears twice in one call")
