"""Folders, digests and the lock between processes."""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from echobook.data.cache import cache_root, file_sha256, locked, mirror_root


def test_cache_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_root() == tmp_path / "cache"
    monkeypatch.delenv("ECHOBOOK_CACHE")
    assert cache_root().name == "echobook"


def test_mirror_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mirror_root() is None
    monkeypatch.setenv("ECHOBOOK_MIRROR", str(tmp_path))
    assert mirror_root() == tmp_path
    monkeypatch.setenv("ECHOBOOK_MIRROR", str(tmp_path / "absent"))
    with pytest.raises(NotADirectoryError, match=r"ECHOBOOK_MIRROR=.*absent is not a folder"):
        mirror_root()


def test_file_sha256(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 100_000)
    assert file_sha256(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_lock_makes_its_folders_and_ends_with_an_error(tmp_path: Path) -> None:
    lock = tmp_path / "new" / "deeper" / "x.lock"
    with pytest.raises(RuntimeError, match="stopped"), locked(lock):
        raise RuntimeError("stopped")
    with locked(lock), lock.open("a") as handle, pytest.raises(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with lock.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_home_folder_is_spelled_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable, root in (("ECHOBOOK_CACHE", cache_root), ("ECHOBOOK_MIRROR", mirror_root)):
        monkeypatch.setenv(variable, "~")
        assert root() == tmp_path


def test_a_file_is_no_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("ECHOBOOK_MIRROR", str(tmp_path / "file"))
    with pytest.raises(NotADirectoryError, match="is not a folder; unset it or name a folder"):
        mirror_root()
    monkeypatch.setenv("ECHOBOOK_MIRROR", "")
    assert mirror_root() is None


def test_lock_excludes_another_process(tmp_path: Path) -> None:
    lock = tmp_path / "new" / "x.lock"
    attempt = (
        "import fcntl, sys\n"
        "handle = open(sys.argv[1], 'a')\n"
        "try:\n"
        "    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except BlockingIOError:\n"
        "    sys.exit(7)\n"
    )
    with locked(lock):
        assert subprocess.run([sys.executable, "-c", attempt, str(lock)], check=False).returncode == 7
    assert subprocess.run([sys.executable, "-c", attempt, str(lock)], check=False).returncode == 0
