"""The embedded store: durable, shared, full, undone."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from echobook.store.errors import ConditionFailed, StoreError, StoreFull, Throttled
from echobook.store.port import Change
from echobook.store.protocol import ENTRIES
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
