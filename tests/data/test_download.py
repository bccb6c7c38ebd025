"""The resuming downloader by itself."""

from pathlib import Path

import pytest
import requests

from echobook.data.download import ResumingDownload, WrongHash

from .conftest import Server, make_row


def test_progress_counts_every_byte_once(server: Server, tmp_path: Path) -> None:
    row = make_row("f.bin", bytes(range(256)) * 1000)
    server.files = {row.url.removeprefix(server.address): bytes(range(256)) * 1000}
    server.faults = {path: ["cut"] for path in server.files}
    counted: list[int] = []
    download = ResumingDownload(row, tmp_path / "parts", counted.append)
    with pytest.raises(requests.RequestException):
        download(row.url, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    download(row.url, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == bytes(range(256)) * 1000
    assert sum(counted) == row.bytes
    assert list((tmp_path / "parts").iterdir()) == []


def test_finished_part_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    row = make_row("f.bin", b"whole")
    (tmp_path / row.sha256).write_bytes(b"whole")
    ResumingDownload(row, tmp_path, lambda n: None)(row.url, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"whole"
    assert server.requests == []


def test_damaged_part_is_removed(server: Server, tmp_path: Path) -> None:
    row = make_row("f.bin", b"whole")
    (tmp_path / row.sha256).write_bytes(b"other")
    with pytest.raises(WrongHash, match="it was removed"):
        ResumingDownload(row, tmp_path, lambda n: None)(row.url, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_empty_file(server: Server, tmp_path: Path) -> None:
    row = make_row("empty", b"")
    server.files = {row.url.removeprefix(server.address): b""}
    ResumingDownload(row, tmp_path / "parts", lambda n: None)(row.url, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b""


def test_missing_address(server: Server, tmp_path: Path) -> None:
    row = make_row("f.bin", b"whole")
    with pytest.raises(requests.HTTPError, match="404"):
        ResumingDownload(row, tmp_path / "parts", lambda n: None)(row.url, tmp_path / "out")
