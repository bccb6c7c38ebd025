"""Servers of DynamoDB's protocol on this machine, for tests, the demonstration and measurements.

`dynalite` (npm) runs as a process, `moto` (PyPI) in a thread; both listen on loopback only and keep
everything in memory. They ask for credentials but do not check them; `loopback_credentials` sets
placeholders where none are set.
"""

import logging
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from echobook.store.errors import StoreError

_HOST = "127.0.0.1"
_ROOM = "--initial-old-space-size=512"  # MiB; from Node's own start, collections stall calls all the time


class Address(str):
    """The address of a server that runs as a process of its own; `process` is its id."""

    process: int

    @classmethod
    def of(cls, port: int, process: int) -> "Address":
        """Return the address of a port on loopback."""
        made = cls(f"http://{_HOST}:{port}")
        made.process = process
        return made


def loopback_credentials() -> None:
    """Set placeholder credentials and region for loopback servers where the environment has none."""
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "loopback")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "loopback")
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")


def dynalite_script(root: Path) -> Path | None:
    """Return dynalite's start script below the repository, or None when Node or dynalite is missing."""
    script = root / "workflow" / "dynalite" / "node_modules" / "dynalite" / "cli.js"
    return script if script.is_file() and shutil.which("node") else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _wait(port: int, process: subprocess.Popen[bytes] | None, wait_s: float) -> None:
    end = time.monotonic() + wait_s
    while True:
        with socket.socket() as probe:
            probe.settimeout(0.5)
            if probe.connect_ex((_HOST, port)) == 0:
                return
        if (process is not None and process.poll() is not None) or time.monotonic() > end:
            raise StoreError(f"the server on loopback did not answer within {wait_s:g} s")
        time.sleep(0.05)


@contextmanager
def dynalite(root: Path, *, wait_s: float = 30.0) -> Iterator[Address]:
    """Run dynalite, yield its address, and stop it. Raises StoreError when it is not installed."""
    script = dynalite_script(root)
    if script is None:
        if shutil.which("node") is None:
            raise StoreError("dynalite needs Node 18 or newer: no 'node' on the PATH; try installing it")
        raise StoreError(
            "dynalite is not installed; try: npm ci --prefix workflow/dynalite --ignore-scripts (Node 18)"
        )
    loopback_credentials()
    port = _free_port()
    command = [
        "node",
        _ROOM,
        str(script),
        "--host",
        _HOST,
        "--port",
        str(port),
        "--createTableMs",
        "0",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(port, process, wait_s)
            yield Address.of(port, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def moto(*, wait_s: float = 30.0) -> Iterator[str]:
    """Run moto's server in a thread, yield its address, and stop it. Raises StoreError when missing."""
    try:
        from moto.server import ThreadedMotoServer
    except ImportError as error:
        raise StoreError(
            "moto is not installed; try: pip install 'moto[dynamodb]' flask flask-cors"
        ) from error
    loopback_credentials()
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # one line a request otherwise
    port = _free_port()
    server = ThreadedMotoServer(ip_address=_HOST, port=port, verbose=False)
    server.start()
    try:
        _wait(port, None, wait_s)
        yield f"http://{_HOST}:{port}"
    finally:
        server.stop()
