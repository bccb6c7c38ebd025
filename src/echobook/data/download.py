"""One file over HTTP, resumed after a break: a downloader for pooch.

Bytes go to ``.part/<sha256>`` beside the data set and are kept when a transfer breaks; the next attempt asks
for the rest (``Range``). Only a whole file of the registered size and SHA-256 reaches pooch.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from echobook.data.cache import file_sha256
from echobook.data.registry import RegistryRow

CHUNK = 1 << 16
TIMEOUT = 30.0  # seconds without a byte


class FetchError(RuntimeError):
    """Data files that cannot be had, or are not what the registry states."""


class WrongHash(FetchError):
    """A file whose SHA-256 is not the registered one."""


def wrong_hash(row: RegistryRow, path: Path, actual: str, *, removed: bool) -> WrongHash:
    """The error for ``path``: both digests, what was done, what to try."""
    done = (
        "it was removed; fetch it again" if removed else "it was left in place and refused; repair the mirror"
    )
    return WrongHash(
        f"{row.dataset}/{row.file} at {path} is not the registered file: "
        f"expected sha256 {row.sha256}, got {actual}; {done}. Nothing was read from it."
    )


class ResumingDownload:
    """A pooch downloader for one registry row.

    Args:
        row: the file.
        parts: folder of unfinished transfers.
        progress: called with each number of bytes that is newly on disk.
    """

    def __init__(self, row: RegistryRow, parts: Path, progress: Callable[[int], object]) -> None:
        self.row, self.progress = row, progress
        self.part = parts / row.sha256

    def __call__(self, url: str, output_file: str | os.PathLike[str], pooch: object = None, **_: Any) -> None:
        """Download, check, rename to ``output_file``.

        Raises:
            requests.RequestException: a transfer that may be tried again (pooch does).
            WrongHash: whole file, wrong content.
        """
        self.part.parent.mkdir(parents=True, exist_ok=True)
        if self._have() < self.row.bytes or self.row.bytes == 0:
            self._transfer(url)
        digest = file_sha256(self.part)
        if digest != self.row.sha256:
            self.part.unlink()
            raise wrong_hash(self.row, self.part, digest, removed=True)
        os.replace(self.part, output_file)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _transfer(self, url: str) -> None:
        import requests

        have = self._have()
        # "identity": with compression on the way, byte ranges would not be ranges of the file.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            response.raise_for_status()
            # A short body is noticed below, by size; urllib3's own check would throw away its last chunk.
            response.raw.enforce_content_length = False
            resumed = have > 0 and response.status_code == requests.codes.partial_content
            with self.part.open("ab" if resumed else "wb") as handle:
                self._copy(response, handle, have if resumed else 0)
        if (size := self._have()) < self.row.bytes:
            raise requests.ConnectionError(f"{url}: transfer ended at {size} of {self.row.bytes} bytes")

    def _copy(self, response: Any, handle: Any, size: int) -> None:
        for chunk in response.iter_content(CHUNK):
            size += len(chunk)
            handle.write(chunk)
            self.progress(len(chunk))
            if size > self.row.bytes:
                return  # longer than registered: the digest check that follows names both hashes
