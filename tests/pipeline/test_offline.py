"""The network guard: which addresses are this machine, and that the hook refuses the others (in a process of
its own).
"""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from echobook.pipeline.offline import is_local

SCRIPT = """
import asyncio, socket, sys
from pathlib import Path
from echobook.pipeline.offline import NetworkRefusedError, refuse_network
refuse_network("advin", Path(sys.argv[1]))
def refused(call):
    try:
        call()
    except NetworkRefusedError as error:
        assert "chapter advin asked for the network" in str(error), error
        return True
    return False
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
tcp = socket.socket()
assert refused(lambda: socket.create_connection(("example.com", 80)))
assert refused(lambda: tcp.connect(("192.0.2.1", 80)))
assert refused(lambda: tcp.connect_ex(("192.0.2.1", 80)))
assert refused(lambda: udp.sendto(b"x", ("192.0.2.1", 53)))
assert refused(lambda: socket.gethostbyname("example.com"))
assert refused(lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 80)))
server = socket.create_server(("localhost", 0))
socket.create_connection(server.getsockname()).close()
left, right = socket.socketpair()
asyncio.run(asyncio.sleep(0))
print("ok")
"""


@pytest.mark.parametrize(
    "host", [None, "", "localhost", b"localhost", "127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::1%lo"]
)
def test_local(host):
    assert is_local(host)


@pytest.mark.parametrize(
    "host", ["example.com", b"example.com", "10.0.0.1", "192.0.2.1", "2001:db8::1", "localhost.example"]
)
def test_not_local(host):
    assert not is_local(host)


def test_this_machine_by_its_name():
    assert is_local(socket.gethostname())


def test_the_hook_refuses_and_notes(tmp_path):
    note = tmp_path / "note.txt"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(note)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "ok\n", done.stderr
    assert note.read_text().split() == ["example.com", *["192.0.2.1"] * 3, "example.com", "2001:db8::1"]
