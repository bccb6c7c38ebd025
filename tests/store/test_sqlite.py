"""The embedded store: durable, shared, full, undone."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from echobook.store.codec import encode
from echobook.store.deciding import ENTRIES
from echobook.store.errors import ConditionFailed, StoreError, StoreFull, Throttled
from echobook.store.port import Change, Put
from echobook.store.sqlite import SqliteStore

KEY = ENTRIES.key("i")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


@pytest.mark.parametrize("durable", ["power", "process"])
def test_a_closed_file_keeps_everything(path, durable):
    store = SqliteStore(path, durable=durable)
    store.put(ENTRIES, {**KEY, "n": 1})
    store.close()
    again = SqliteStore(path)
    assert again.get(ENTRIES, KEY) == {**KEY, "n": 1}
    again.close()


def test_what_returned_survives_a_kill(path):
    """A process writes, says so, and is killed without a chance to tidy up."""
    body = (
        "import sys, time\n"
        "from echobook.store.sqlite import SqliteStore\n"
        "from echobook.store.port import Change\n"
        "from echobook.store.protocol import ENTRIES\n"
        "store = SqliteStore(sys.argv[1], durable='process')\n"
        "for number in range(1000):\n"
        "    store.update(ENTRIES, ENTRIES.key('i'), Change(add={'n': 1}))\n"
        "    print(number + 1, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", body, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        said = 0
        while said < 25:
            said = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        said = max([said, *(int(line) for line in process.stdout.read().split())])
    store = SqliteStore(path)
    found = store.get(ENTRIES, KEY)["n"]
    store.close()
    assert found in (said, said + 1)


def test_a_full_disk_undoes_the_write_and_keeps_the_rest(path):
    store = SqliteStore(path, max_pages=20)
    written = 0
    for number in range(100):
        try:
            store.put(ENTRIES, {**ENTRIES.key(f"i{number}"), "b": bytes(3000)})
        except StoreFull:
            break
        written += 1
    assert 3 < written < 100
    assert store.get(ENTRIES, ENTRIES.key(f"i{written}")) is None
    assert all(store.get(ENTRIES, ENTRIES.key(f"i{number}")) for number in range(written))
    store.delete(ENTRIES, ENTRIES.key("i0"))
    store.put(ENTRIES, {**ENTRIES.key("i0"), "b": bytes(2000)})  # room again
    store.close()


def test_together_is_undone_on_an_error(path):
    store = SqliteStore(path)
    with contextlib.suppress(RuntimeError), store.together():
        store.put(ENTRIES, {**KEY, "n": 1})
        raise RuntimeError
    assert store.get(ENTRIES, KEY) is None
    store.close()


def test_a_refused_condition_inside_together_undoes_nothing(path):
    from echobook.store.conditions import Absent

    store = SqliteStore(path)
    with store.together():
        store.put(ENTRIES, {**KEY, "n": 1})
        with pytest.raises(ConditionFailed):
            store.update(ENTRIES, KEY, Change(set={"n": 2}), condition=Absent("n"))
    assert store.get(ENTRIES, KEY) == {**KEY, "n": 1}
    store.close()


def test_two_connections_share_the_file_and_a_held_one_throttles(path):
    first, second = SqliteStore(path), SqliteStore(path, wait_s=0.05)
    first.put(ENTRIES, {**KEY, "n": 1})
    assert second.update(ENTRIES, KEY, Change(add={"n": 1}))["n"] == 2
    with first.together():
        first.put(ENTRIES, {**KEY, "n": 9})
        with pytest.raises(Throttled, match="another process holds the file"):
            second.put(ENTRIES, {**KEY, "n": 3})
    assert second.get(ENTRIES, KEY)["n"] == 9
    first.close()
    second.close()


def test_the_log_is_moved_by_a_thread(path):
    store = SqliteStore(path, durable="process", checkpoint_s=0.01)
    for number in range(200):
        store.put(ENTRIES, {**ENTRIES.key(f"i{number}"), "b": bytes(2000)})
    end = time.monotonic() + 20
    while path.stat().st_size < 300_000 and time.monotonic() < end:
        time.sleep(0.01)
    assert path.stat().st_size >= 300_000
    store.close()


def test_scans_pass_page_borders(path):
    store = SqliteStore(path)
    with store.together():
        for number in range(1001):
            store.put(ENTRIES, {**ENTRIES.key(f"i{number:04}"), "n": number})
    assert [item["n"] for item in store.scan(ENTRIES)] == list(range(1001))
    store.close()


def test_refusals(tmp_path):
    with pytest.raises(StoreError, match="cannot open the store"):
        SqliteStore(tmp_path / "no" / "folder.db")
    store = SqliteStore(tmp_path / "a.db")
    store.close()
    with pytest.raises(StoreError, match="the embedded store failed"):
        store.get(ENTRIES, KEY)


@pytest.mark.parametrize(("durable", "level"), [("power", 2), ("process", 1)])
def test_the_level_of_durability_is_the_one_asked_for(path, durable, level):
    """SQLite's synchronous: 2 is FULL, which flushes the log at every commit; 1 is NORMAL, which does not."""
    store = SqliteStore(path, durable=durable)
    assert store._database.execute("PRAGMA synchronous").fetchone() == (level,)
    assert store._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_processes_add_to_one_counter_without_loss(path):
    """Three processes, a hundred additions each, on one file."""
    body = (
        "import sys\n"
        "from echobook.store.sqlite import SqliteStore\n"
        "from echobook.store.port import Change\n"
        "from echobook.store.protocol import ENTRIES\n"
        "store = SqliteStore(sys.argv[1], durable='process', wait_s=60.0)\n"
        "for number in range(100):\n"
        "    store.update(ENTRIES, ENTRIES.key('i'), Change(add={'n': 1}))\n"
        "store.close()\n"
    )
    SqliteStore(path).close()
    running = [subprocess.Popen([sys.executable, "-c", body, str(path)]) for _ in range(3)]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    store = SqliteStore(path)
    assert store.get(ENTRIES, KEY)["n"] == 300
    store.close()


@pytest.mark.parametrize("size", [900, 1000, 1010, 1020, 1030, 1100, 2040, 2060, 5000])
def test_units_are_the_calculators_on_both_sides_of_a_border(path, size):
    """Short forms skip the exact size; around a KiB that must make no difference."""
    from echobook.store.items import write_units
    from echobook.store.memory import MemoryStore

    store, plain = SqliteStore(path), MemoryStore()
    item = {**KEY, "b": bytes(size)}
    for one in (store, plain):
        one.put(ENTRIES, item)
        one.put(ENTRIES, {**KEY, "n": 1})
        one.update(ENTRIES, KEY, Change(set={"b": bytes(size)}))
        one.update(ENTRIES, KEY, Change(remove=("b",)))
        one.delete(ENTRIES, KEY)
    assert store.spent.write_units == plain.spent.write_units
    assert plain.spent.write_units >= 4 * write_units(None, item)
    assert store.spent.calls == plain.spent.calls
    store.close()


def fill(store, when, items):
    """Write items, by one verb or another, until the disk is full."""
    if when == "put_many":
        store.put_many(ENTRIES, items)
    elif when == "transact":
        store.transact([Put(ENTRIES, item) for item in items])
    with store.together() if when == "together" else contextlib.nullcontext():
        for item in items:
            if when == "update":
                store.update(ENTRIES, KEY, Change(set={f"b{item['interaction']}": item["b"]}))
            else:
                store.put(ENTRIES, item)


@pytest.mark.parametrize("when", ["put", "update", "put_many", "transact", "together"])
def test_a_disk_that_fills_undoes_whatever_was_under_way(path, when):
    store = SqliteStore(path, max_pages=12)
    store.put(ENTRIES, {**KEY, "n": 1})
    with pytest.raises(StoreFull, match="nothing was written"):
        fill(store, when, [{**ENTRIES.key(f"i{number}"), "b": bytes(20_000)} for number in range(5)])
    assert store.get(ENTRIES, KEY)["n"] == 1
    if when in ("put_many", "transact", "together"):
        assert [item["interaction"] for item in store.scan(ENTRIES)] == ["i"]
    store.delete(ENTRIES, KEY)  # the store still works
    assert store.get(ENTRIES, KEY) is None
    store.close()


def test_what_is_damaged_on_disk_is_named(path):
    store = SqliteStore(path)
    store.put(ENTRIES, {**KEY, "n": 1})
    store._database.execute("UPDATE items SET body = x'0000'")
    with pytest.raises(StoreError, match="a stored item of 2 bytes is damaged"):
        store.get(ENTRIES, KEY)
    store.close()


def test_nested_blocks_are_one_transaction(path):
    first, second = SqliteStore(path), SqliteStore(path)
    with first.together():
        first.put(ENTRIES, {**KEY, "n": 1})
        with first.together():
            first.put(ENTRIES, {**ENTRIES.key("j"), "n": 1})
        assert second.get(ENTRIES, ENTRIES.key("j")) is None
    assert second.get(ENTRIES, ENTRIES.key("j")) is not None
    first.close()
    second.close()


@pytest.mark.parametrize("durable", ["Power", "", "full"])
def test_an_unknown_durability_is_refused_and_no_file_made(durable, tmp_path):
    unchecked = getattr(SqliteStore.__init__, "__wrapped__", SqliteStore.__init__)
    with pytest.raises(StoreError, match=f"durable: expected 'power' or 'process', got '{durable}'"):
        unchecked(object.__new__(SqliteStore), tmp_path / "x.db", durable=durable)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own elsewhere")
def test_checkpoints_yield_to_writers(path):
    """The thread adds ten to the nice value of the one that opened the store, which keeps its own."""
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    store = SqliteStore(path, checkpoint_s=0.01)
    deadline = time.monotonic() + 5
    wanted = min(19, ours + 10)
    while (found := os.getpriority(os.PRIO_PROCESS, store._thread.native_id)) != wanted:
        assert time.monotonic() < deadline, f"nice value {found}, expected {wanted}"
        time.sleep(0.01)
    assert os.getpriority(os.PRIO_PROCESS, 0) == ours
    store.close()


def test_a_file_of_the_earlier_layout_still_serves(path):
    """Tables without row ids and with larger pages, as files had before: read, updated and added to."""
    older = sqlite3.connect(path)
    older.execute("PRAGMA page_size = 4096")
    older.execute(
        "CREATE TABLE items (t TEXT, p TEXT, s TEXT, body BLOB NOT NULL, PRIMARY KEY (t, p, s)) WITHOUT ROWID"
    )
    older.execute("INSERT INTO items VALUES (?, 'i', '', ?)", (ENTRIES.name, encode({**KEY, "n": 1})))
    older.commit()
    older.close()
    store = SqliteStore(path)
    assert store.update(ENTRIES, KEY, Change(add={"n": 1})) == {**KEY, "n": 2}
    store.put(ENTRIES, {**ENTRIES.key("j"), "n": 3})
    assert [item["n"] for item in store.scan(ENTRIES)] == [2, 3]
    store.close()


def test_a_new_file_has_small_pages(path):
    SqliteStore(path).close()
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA page_size").fetchone() == (1024,)
    database.close()
