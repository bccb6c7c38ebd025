"""The embedded store: SQLite, one file, durable, no server. The default of the chapter and of small sites.

Write-ahead log. Each write is a transaction of its own (`BEGIN IMMEDIATE`), so several processes may share
the file; `together` makes one transaction of many writes. What returned is on disk: `durable="power"`
flushes each transaction (survives loss of power), `durable="process"` leaves the flush to checkpoints
(survives a killed process; a power cut may take the last moments, never consistency). A full disk raises
StoreFull and undoes the transaction.
"""

import os
import sqlite3
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from echobook.store.codec import decode, encode
from echobook.store.conditions import Condition, holds
from echobook.store.errors import ConditionFailed, StoreError, StoreFull, Throttled
from echobook.store.items import (
    LIMIT,
    Item,
    Table,
    check_form,
    check_size,
    page_units,
    read_units,
    write_units,
)
from echobook.store.port import Change, Put, Spent, Write, changed, check_distinct, check_distinct_writes

# With row ids, bodies are appended one after another and only the small keys are inserted in their order; a
# commit rewrites whole pages, so small ones write less. Both were measured to shorten waits under load.
_PAGE_BYTES = 1024
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS items (t TEXT, p TEXT, s TEXT, body BLOB NOT NULL, PRIMARY KEY (t, p, s))"
)
_GET = "SELECT body FROM items WHERE t = ? AND p = ? AND s = ?"
_PUT = "INSERT INTO items VALUES (?, ?, ?, ?) ON CONFLICT (t, p, s) DO UPDATE SET body = excluded.body"
_NEW = "INSERT INTO items VALUES (?, ?, ?, ?)"
_PAGE = 500
_NICER = 10  # what the checkpoints' thread adds to its nice value; the system keeps it at 19 at most
_FLUSH = {"power": "FULL", "process": "NORMAL"}


class _Exists(StoreError):
    """There is an item with this key."""


class SqliteStore:
    """The port over one SQLite file (`:memory:` for none)."""

    def __init__(
        self,
        path: str | Path,
        *,
        durable: Literal["power", "process"] = "power",
        wait_s: float = 5.0,
        max_pages: int | None = None,
        checkpoint_s: float | None = None,
    ) -> None:
        """Open or create the file.

        `wait_s`: how long to wait for another process's transaction before Throttled. `max_pages`: a limit of
        the file's size in pages, as a full disk would set. `checkpoint_s`: move the log into the file in a
        thread of its own, this often, so that no writer waits for the disk; otherwise a writer does it now
        and then. On Linux that thread has a lower priority than the writers. Raises StoreError when the file
        cannot be opened, or for another `durable`.
        """
        if durable not in _FLUSH:
            raise StoreError(f"durable: expected 'power' or 'process', got {durable!r}")
        self.spent = Spent()
        self._lock = threading.RLock()
        self._depth = 0
        try:
            self._database = sqlite3.connect(
                str(path), timeout=wait_s, isolation_level=None, check_same_thread=False
            )
            self._database.execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # of a new file
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute(f"PRAGMA synchronous = {_FLUSH[durable]}")
            self._database.execute("PRAGMA cache_size = -65536")  # KiB
            self._database.execute(_SCHEMA)
            if max_pages is not None:
                self._database.execute(f"PRAGMA max_page_count = {int(max_pages)}")
        except sqlite3.Error as error:
            raise StoreError(f"{Path(path).name}: cannot open the store: {error}") from error
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if checkpoint_s is not None:
            self._database.execute("PRAGMA wal_autocheckpoint = 0")
            self._thread = threading.Thread(target=self._checkpoints, args=(path, checkpoint_s), daemon=True)
            self._thread.start()

    def _checkpoints(self, path: str | Path, every_s: float) -> None:
        if sys.platform == "linux":  # where a thread has a priority of its own
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICER)
        database = sqlite3.connect(str(path))
        while not self._stop.wait(every_s):
            database.execute("PRAGMA wal_checkpoint(PASSIVE)")
        database.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make the writes inside one transaction: durable together, undone together on an error.

        A refused condition inside is no error of the transaction if the caller catches it.
        """
        with self._lock:
            outermost, self._depth = self._depth == 0, self._depth + 1
            try:
                if outermost:
                    self._run("BEGIN IMMEDIATE")
                yield
                if outermost:
                    self._run("COMMIT")
            except BaseException:
                if outermost and self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def _run(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._database.execute(statement, values)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
                raise StoreFull("the disk, or the file's size limit, is full; nothing was written") from error
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise Throttled("another process holds the file; try again") from error
            raise StoreError(f"the embedded store failed: {error}") from error
        except sqlite3.IntegrityError as error:
            raise _Exists("an item with this key exists") from error
        except sqlite3.Error as error:
            raise StoreError(f"the embedded store failed: {error}") from error

    def _body(self, table: Table, key: Item) -> bytes | None:
        row = self._run(_GET, (table.name, *table.identity(key))).fetchone()
        return None if row is None else row[0]

    def _find(self, table: Table, key: Item) -> Item | None:
        body = self._body(table, key)
        return None if body is None else decode(body)

    def _write(self, table: Table, item: Item, before: Item | None, *, statement: str = _PUT) -> float:
        """Write an item over `before`, and return the units.

        The encoded form is never shorter than what an item counts, so short forms need no exact size.
        """
        body = encode(item)
        if len(body) > LIMIT:
            check_size(table, item)
        self._run(statement, (table.name, *table.identity(item), body))
        return 1.0 if len(body) <= 1024 and before is None else write_units(before, item)

    def _checked(self, table: Table, key: Item, condition: Condition | None) -> Item | None:
        before = self._find(table, key)
        if not holds(condition, before):
            self.spent.write("refused", write_units(before, None))
            raise ConditionFailed(f"{table.name}: the condition does not hold")
        return before

    def put(self, table: Table, item: Item, *, condition: Condition | None = None) -> None:
        """See the port."""
        check_form(table, item)
        with self.together():
            units = self._put(table, item, condition)
        self.spent.write("put", units)

    def _put(self, table: Table, item: Item, condition: Condition | None = None) -> float:
        if condition is None:
            try:  # most items are new: no need to look first
                return self._write(table, item, None, statement=_NEW)
            except _Exists:
                pass
        return self._write(table, item, self._checked(table, item, condition))

    def put_many(self, table: Table, items: Sequence[Item]) -> None:
        """See the port; here all or none."""
        check_distinct(table, items)
        for item in items:
            check_form(table, item)
        with self.together():
            units = [self._put(table, item) for item in items]
        for one in units:
            self.spent.write("put", one)

    def update(self, table: Table, key: Item, change: Change, *, condition: Condition | None = None) -> Item:
        """See the port."""
        change.check(table)
        with self.together():
            before = self._body(table, key)
            held = None if before is None else decode(before)
            if not holds(condition, held):
                self.spent.write("refused", write_units(held, None))
                raise ConditionFailed(f"{table.name}: the condition does not hold")
            after = changed(table, key, held, change)
            short = held is None or len(before or b"") <= 1024
            units = self._write(table, after, None if short else held)
        self.spent.write("update", units)
        return after

    def get(self, table: Table, key: Item, *, consistent: bool = True) -> Item | None:
        """See the port; every read is consistent here, and counted as asked for."""
        with self._lock:
            found = self._find(table, key)
        self.spent.read("get", read_units(found, consistent=consistent))
        return found

    def get_many(self, table: Table, keys: Sequence[Item], *, consistent: bool = True) -> list[Item]:
        """See the port."""
        check_distinct(table, keys)
        with self._lock:
            found = [self._find(table, key) for key in keys]
        self.spent.read("get_many", float(sum(read_units(item, consistent=consistent) for item in found)))
        return [item for item in found if item is not None]

    def query(self, table: Table, partition: str, *, prefix: str = "", consistent: bool = True) -> list[Item]:
        """See the port."""
        wanted = "SELECT body FROM items WHERE t = ? AND p = ? AND substr(s, 1, ?) = ? ORDER BY s"
        with self._lock:
            rows = self._run(wanted, (table.name, partition, len(prefix), prefix)).fetchall()
        found = [decode(body) for (body,) in rows]
        self.spent.read("query", page_units(found, consistent=consistent))
        return found

    def delete(self, table: Table, key: Item, *, condition: Condition | None = None) -> None:
        """See the port."""
        with self.together():
            before = self._checked(table, key, condition)
            self._run("DELETE FROM items WHERE t = ? AND p = ? AND s = ?", (table.name, *table.identity(key)))
        self.spent.write("delete", write_units(before, None))

    def scan(self, table: Table) -> Iterator[Item]:
        """See the port; pages of 500, each read in its own transaction."""
        wanted = "SELECT p, s, body FROM items WHERE t = ? AND (p, s) > (?, ?) ORDER BY p, s LIMIT ?"
        last = ("", "")
        while True:
            with self._lock:
                rows = self._run(wanted, (table.name, *last, _PAGE)).fetchall()
            page = [decode(body) for *_, body in rows]
            self.spent.read("scan", page_units(page, consistent=False))
            yield from page
            if len(rows) < _PAGE:
                return
            last = rows[-1][:2]

    def transact(self, writes: Sequence[Write]) -> None:
        """See the port."""
        check_distinct_writes(writes)
        with self.together():
            units = sum(self._apply(write) for write in writes)
        self.spent.write("transact", 2 * units)

    def _apply(self, write: Write) -> float:
        key = write.item if isinstance(write, Put) else write.key
        before = self._checked(write.table, key, write.condition)
        if isinstance(write, Put):
            check_form(write.table, write.item)
            after = write.item
        else:
            write.change.check(write.table)
            after = changed(write.table, write.key, before, write.change)
        return self._write(write.table, after, before)

    def close(self) -> None:
        """Close the file."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._database.close()
