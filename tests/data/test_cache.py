"""Folders, digests and the lock between processes."""

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
