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


def test_bytes_are_asked_for_as_they_are(server: Server, tmp_path: Path) -> None:
    row = make_row("f.bin", b"whole")
    server.files = {row.url.removeprefix(server.address): b"whole"}
    ResumingDownload(row, tmp_path / "a" / "b" / "parts", lambda n: None)(row.url, tmp_path / "out")
    assert server.encodings == ["identity"]  # compressed ranges would not be ranges of the file


def test_a_longer_body_is_not_read_to_its_end(server: Server, tmp_path: Path) -> None:
    row = make_row("f.bin", b"whole")
    server.files = {row.url.removeprefix(server.address): b"whole" + bytes(1_000_000)}
    counted: list[int] = []
    with pytest.raises(WrongHash, match="it was removed"):
        ResumingDownload(row, tmp_path / "parts", counted.append)(row.url, tmp_path / "out")
    assert sum(counted) < 500_000
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "parts").iterdir()) == []


def test_progress_of_a_transfer_begun_anew(server: Server, tmp_path: Path) -> None:
    """A server that ignores the range sends the whole file again; what was there is not kept in front."""
    row = make_row("f.bin", b"0123456789")
    server.files = {row.url.removeprefix(server.address): b"0123456789"}
    server.ranges = False
    (tmp_path / row.sha256).write_bytes(b"0123")
    counted: list[int] = []
    ResumingDownload(row, tmp_path, counted.append)(row.url, tmp_path / "out")
    assert server.requests[0][1] == "bytes=4-"
    assert (tmp_path / "out").read_bytes() == b"0123456789"
    assert sum(counted) == 10


def test_missing_address(server: Server, tmp_path: Path) -> None:
    row = make_row("f.bin", b"whole")
    with pytest.raises(requests.HTTPError, match="404"):
        ResumingDownload(row, tmp_path / "parts", lambda n: None)(row.url, tmp_path / "out")
