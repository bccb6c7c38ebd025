"""Where downloaded and computed files live, and how a file's digest is taken."""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path


def cache_root() -> Path:
    """``ECHOBOOK_CACHE``, or the user's cache folder for this project. Not created here."""
    if folder := os.environ.get("ECHOBOOK_CACHE"):
        return Path(folder).expanduser()
    import pooch

    return Path(pooch.os_cache("echobook"))


def mirror_root() -> Path | None:
    """``ECHOBOOK_MIRROR`` (a folder with ``<dataset>/<file>``), or None.

    Raises:
        NotADirectoryError: the variable names something that is not a folder.
    """
    folder = os.environ.get("ECHOBOOK_MIRROR")
    if not folder:
        return None
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise NotADirectoryError(f"ECHOBOOK_MIRROR={folder} is not a folder; unset it or name a folder")
    return path


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 lower-case hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` between processes; the lock ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
