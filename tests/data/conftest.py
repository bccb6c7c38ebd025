"""A small registry, a mirror and an HTTP server on the loopback that fails on demand."""

import hashlib
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from echobook.data import registry
from echobook.data.registry import RegistryRow, raw_address, write_registry

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here reads the user's cache or mirror unless it asks for it."""
    monkeypatch.setenv("ECHOBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ECHOBOOK_MIRROR", raising=False)


@dataclass
class Server:
    """Files by path; ``faults`` by path are used up one request at a time."""

    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    encodings: list[str | None] = field(default_factory=list)
    ranges: bool = True
    address: str = ""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            server.requests.append((self.path, wanted))
            server.encodings.append(self.headers.get("Accept-Encoding"))
            faults = server.faults.get(self.path, [])
            fault = faults.pop(0) if faults else ""
            body = server.files.get(self.path)
            if body is None or fault == "500":
                self.send_error(404 if body is None else 500)
                return
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and server.ranges else 0
            self.send_response(206 if start else 200)
            body = body[start:]
            if fault != "no length":
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if fault in ("cut", "no length") else body)

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.address = f"http://127.0.0.1:{http.server_address[1]}"
    monkeypatch.setattr(registry, "RAW_HOST", state.address)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # pooch waits between attempts
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


def make_row(file: str, content: bytes, **changes: object) -> RegistryRow:
    path = f"folder one/{file}"
    values: dict[str, object] = {
        "dataset": "tiny",
        "file": file,
        "url": raw_address("owner/repo", COMMIT, path),
        "repo": "owner/repo",
        "commit": COMMIT,
        "path_in_repo": path,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "licence": "CC0-1.0",
        "redistribution": "yes",
        "commercial": "yes",
    }
    return RegistryRow(**(values | changes))  # type: ignore[arg-type]


CONTENT = {"a.txt": b"first file\n" * 5000, "sub/b é.txt": b"second\n" * 3}


@pytest.fixture
def tiny(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Registry of one data set, ``tiny``, of two files, both on the server."""
    root = tmp_path / "root"
    (root / "data").mkdir(parents=True)
    rows = [make_row(file, content) for file, content in CONTENT.items()]
    write_registry(rows, root / "data" / "registry.csv")
    monkeypatch.setenv("ECHOBOOK_ROOT", str(root))
    server.files = {row.url.removeprefix(server.address): CONTENT[row.file] for row in rows}
    return server


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with the real public files; the test is skipped where there is none."""
    folder = Path(PUBLIC) if PUBLIC else Path(__file__).resolve().parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("set ECHOBOOK_MIRROR to a folder with the public data sets")
    monkeypatch.setenv("ECHOBOOK_MIRROR", str(folder))
    monkeypatch.delenv("ECHOBOOK_ROOT", raising=False)
    return folder


PUBLIC = os.environ.get("ECHOBOOK_MIRROR")  # as it was before own_folders removed it
