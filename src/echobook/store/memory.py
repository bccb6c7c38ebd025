"""The store in dictionaries: the plainest meaning of the port, for simulations and as an oracle of tests."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from echobook.store.conditions import Condition, holds
from echobook.store.errors import ConditionFailed
from echobook.store.items import Item, Table, check_item, check_size, page_units, read_units, write_units
from echobook.store.port import Change, Put, Spent, Write, changed, check_distinct, check_distinct_writes


class MemoryStore:
    """Tables as dictionaries, guarded by one lock. Nothing survives the process."""

    def __init__(self) -> None:
        self.spent = Spent()
        self._tables: dict[str, dict[tuple[str, str], Item]] = {}
        self._lock = threading.RLock()

    def _rows(self, table: Table) -> dict[tuple[str, str], Item]:
        return self._tables.setdefault(table.name, {})

    def put(self, table: Table, item: Item, *, condition: Condition | None = None) -> None:
        """See the port."""
        check_item(table, item)
        with self._lock:
            before = self._checked(table, item, condition)
            self._rows(table)[table.identity(item)] = dict(item)
            self.spent.write("put", write_units(before, item))

    def put_many(self, table: Table, items: Sequence[Item]) -> None:
        """See the port."""
        check_distinct(table, items)
        for item in items:
            self.put(table, item)

    def update(self, table: Table, key: Item, change: Change, *, condition: Condition | None = None) -> Item:
        """See the port."""
        change.check(table)
        with self._lock:
            before = self._checked(table, key, condition)
            after = changed(table, key, before, change)
            check_size(table, after)
            self._rows(table)[table.identity(key)] = after
            self.spent.write("update", write_units(before, after))
            return dict(after)

    def get(self, table: Table, key: Item, *, consistent: bool = True) -> Item | None:
        """See the port."""
        found = self._rows(table).get(table.identity(key))
        self.spent.read("get", read_units(found, consistent=consistent))
        return dict(found) if found is not None else None

    def get_many(self, table: Table, keys: Sequence[Item], *, consistent: bool = True) -> list[Item]:
        """See the port."""
        check_distinct(table, keys)
        found = [self._rows(table).get(table.identity(key)) for key in keys]
        self.spent.read("get_many", float(sum(read_units(item, consistent=consistent) for item in found)))
        return [dict(item) for item in found if item is not None]

    def query(self, table: Table, partition: str, *, prefix: str = "", consistent: bool = True) -> list[Item]:
        """See the port."""
        with self._lock:
            rows = sorted(self._rows(table).items())
        found = [dict(item) for (at, sort), item in rows if at == partition and sort.startswith(prefix)]
        self.spent.read("query", page_units(found, consistent=consistent))
        return found

    def delete(self, table: Table, key: Item, *, condition: Condition | None = None) -> None:
        """See the port."""
        with self._lock:
            before = self._checked(table, key, condition)
            self._rows(table).pop(table.identity(key), None)
            self.spent.write("delete", write_units(before, None))

    def scan(self, table: Table) -> Iterator[Item]:
        """See the port."""
        with self._lock:
            rows = [dict(item) for item in self._rows(table).values()]
        self.spent.read("scan", page_units(rows, consistent=False))
        yield from rows

    def transact(self, writes: Sequence[Write]) -> None:
        """See the port."""
        check_distinct_writes(writes)
        with self._lock:
            planned = [(write, *self._plan(write)) for write in writes]
            for write, before, after in planned:
                self._rows(write.table)[write.table.identity(after)] = after
                self.spent.write_units += 2 * write_units(before, after)
            self.spent.calls["transact"] += 1

    def _plan(self, write: Write) -> tuple[Item | None, Item]:
        key = write.item if isinstance(write, Put) else write.key
        before = self._checked(write.table, key, write.condition)
        if isinstance(write, Put):
            check_item(write.table, write.item)
            return before, dict(write.item)
        write.change.check(write.table)
        after = changed(write.table, write.key, before, write.change)
        check_size(write.table, after)
        return before, after

    def _checked(self, table: Table, key: Item, condition: Condition | None) -> Item | None:
        before = self._rows(table).get(table.identity(key))
        if not holds(condition, before):
            self.spent.write("refused", write_units(before, None))
            raise ConditionFailed(f"{table.name}: the condition does not hold")
        return before

    @contextmanager
    def together(self) -> Iterator[None]:
        """Writes here are one by one: nothing is durable, nothing is undone."""
        yield

    def close(self) -> None:
        """Forget everything."""
        self._tables.clear()
