"""Get the files of a public data set into a local folder, every one verified.

Files are looked for in the mirror (``ECHOBOOK_MIRROR``: ``<mirror>/<dataset>/<file>``), then in the cache
(``ECHOBOOK_CACHE``, or the user's cache folder), then downloaded from the pinned address in the registry.
Each is checked against its SHA-256 every time, before anything parses it.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from echobook.data.cache import cache_root, file_sha256, locked, mirror_root
from echobook.data.download import FetchError, ResumingDownload, WrongHash, wrong_hash
from echobook.data.registry import RegistryError, RegistryRow, dataset_rows

__all__ = ["FetchError", "MissingFiles", "WrongHash", "fetch", "main_fetch"]
WORKERS = 8
RETRIES = 3
Rows = Sequence[RegistryRow]


class MissingFiles(FetchError):
    """Files that are neither in the mirror nor in the cache and cannot be downloaded now."""


def fetch(
    dataset: str,
    *,
    files: Iterable[str] | None = None,
    download: bool = True,
    notice: Callable[[str], object] | None = None,
) -> Path:
    """Local folder with the verified files of a data set.

    Args:
        dataset: name in the registry.
        files: only these files of it; all by default.
        download: False looks only in the mirror and the cache.
        notice: gets the licence notice before a first download; standard error by default.

    Returns:
        the folder; file ``f`` of the data set is ``folder / f``. It is the mirror's own folder if that holds
        all files, else the cache's.

    Raises:
        RegistryError: unknown data set or file.
        WrongHash: a file is not the registered one (removed from the cache; a mirror's file is left alone).
        MissingFiles: the missing files, their size and licence, and the two ways to get them.
    """
    rows = dataset_rows(dataset, files)
    mirror = mirror_root()
    mirrored = mirror / dataset if mirror else None
    if mirrored and all((mirrored / row.file).is_file() for row in rows):
        _verify_all(rows, mirrored, removable=False)
        return mirrored
    folder = cache_root() / "data" / dataset
    missing = [row for row in rows if not (folder / row.file).is_file()]
    if missing:
        with locked(folder.with_suffix(".lock")):
            missing = [row for row in rows if not (folder / row.file).is_file()]
            _complete(missing, folder, mirrored, download, notice or _to_stderr)
    _verify_all(rows, folder, removable=True)
    return folder


def _verify_all(rows: Rows, folder: Path, *, removable: bool) -> None:
    """Check size and digest of each file; of several bad ones the first in registry order is named."""
    for row in rows:
        path = folder / row.file
        actual = file_sha256(path)
        if actual != row.sha256:
            if removable:
                path.unlink()
            raise wrong_hash(row, path, actual, removed=removable)


def _complete(
    missing: Rows, folder: Path, mirrored: Path | None, download: bool, notice: Callable[[str], object]
) -> None:
    """Copy from the mirror what it has, download the rest."""
    if mirrored:
        for row in [row for row in missing if (mirrored / row.file).is_file()]:
            _verify_all([row], mirrored, removable=False)
            _copy(mirrored / row.file, folder / row.file)
        missing = [row for row in missing if not (folder / row.file).is_file()]
    if missing and not download:
        raise MissingFiles(describe_missing(missing))
    if missing:
        if text := licence_notice(missing):
            notice(text)
        _download_all(missing, folder)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.write_bytes(source.read_bytes())
    temporary.replace(target)


def _download_all(rows: Rows, folder: Path) -> None:
    """Download in parallel; raise after all have ended, so that one bad file does not stop the others."""
    from tqdm import tqdm

    total = sum(row.bytes for row in rows)
    # disable=None: no bar where standard error is not a terminal
    with (
        tqdm(total=total, unit="B", unit_scale=True, desc=rows[0].dataset, disable=None) as bar,
        ThreadPoolExecutor(WORKERS) as pool,
    ):
        outcomes = list(pool.map(lambda row: _download(row, folder, bar.update), rows))
    failed = [(row, error) for row, error in zip(rows, outcomes, strict=True) if error is not None]
    for _, error in failed:
        if isinstance(error, WrongHash):
            raise error
    if failed:
        left = [row for row, _ in failed]
        raise MissingFiles(describe_missing(left, reason=failed[0][1])) from failed[0][1]


def _download(row: RegistryRow, folder: Path, progress: Callable[[int], object]) -> Exception | None:
    """Download one file through pooch; the error is returned, to be judged with the others."""
    import pooch

    downloader = ResumingDownload(row, folder / ".part", progress)
    pup = pooch.create(
        path=folder,
        base_url="",
        registry={row.file: f"sha256:{row.sha256}"},
        urls={row.file: row.url},
        retry_if_failed=RETRIES,
    )
    pooch.get_logger().setLevel("ERROR")
    try:
        pup.fetch(row.file, downloader=downloader)
    except Exception as error:  # any reason for which a file is not there belongs into the report
        return error
    return None


def licence_notice(rows: Rows) -> str:
    """What a reader must know before a first download; empty if the licence permits both."""
    limits = {
        "redistribution": {row.redistribution for row in rows} - {"yes"},
        "commercial use": {row.commercial for row in rows} - {"yes"},
    }
    words = {"no": "not permitted", "unclear": "unclear"}
    parts = [
        f"{what} {' / '.join(words[v] for v in sorted(values))}" for what, values in limits.items() if values
    ]
    return f"{rows[0].dataset}: {'; '.join(parts)}. Licence: {_licences(rows)}" if parts else ""


def _licences(rows: Rows) -> str:
    return " | ".join(dict.fromkeys(row.licence for row in rows))


def describe_missing(rows: Rows, *, reason: Exception | None = None, shown: int = 10) -> str:
    """The text of :class:`MissingFiles`: files, size, licence, reason and the two ways to get them."""
    dataset = rows[0].dataset
    lines = [f"{dataset}: {len(rows)} file(s) missing, {sum(row.bytes for row in rows):,} bytes"]
    lines += [f"  {row.file} ({row.bytes:,} bytes)" for row in rows[:shown]]
    lines += [f"  and {len(rows) - shown} more"] if len(rows) > shown else []
    lines += [f"  licence: {_licences(rows)}"]
    lines += [f"  could not download {rows[0].url}: {type(reason).__name__}: {reason}"] if reason else []
    lines += [
        f"Two ways to get them: with a network, run `echobook fetch {dataset}`; without one, copy them into "
        f"a folder as <folder>/{dataset}/<file> and run `echobook fetch {dataset} --mirror <folder>` "
        "(or set ECHOBOOK_MIRROR=<folder>)."
    ]
    return "\n".join(lines)


def _to_stderr(text: str) -> None:
    sys.stderr.write(text + "\n")


def main_fetch(datasets: Sequence[str], mirror: str | Path | None = None) -> int:
    """``echobook fetch DATASET... [--mirror DIR]``: fetch each into the cache; report one line a data set.

    Args:
        datasets: registry names.
        mirror: a folder ``<mirror>/<dataset>/<file>`` to copy from, instead of ``ECHOBOOK_MIRROR``.

    Returns:
        exit status: 0, or 1 if any data set could not be had (the others are still fetched).
    """
    status = 0
    for dataset in datasets:
        try:
            folder = import_to_cache(dataset, mirror)
            rows = dataset_rows(dataset)
            _to_stderr(
                f"{dataset}: {len(rows)} file(s), {sum(r.bytes for r in rows):,} bytes verified in {folder}"
            )
        except (FetchError, RegistryError, OSError) as error:
            _to_stderr(f"echobook fetch: {error}")
            status = 1
    return status


def import_to_cache(dataset: str, mirror: str | Path | None = None) -> Path:
    """Verified cache folder, filled from ``mirror`` (default ``ECHOBOOK_MIRROR``) and by download."""
    source = Path(mirror) if mirror else mirror_root()
    if source and not source.is_dir():
        raise NotADirectoryError(f"--mirror {source} is not a folder")
    rows = dataset_rows(dataset)
    folder = cache_root() / "data" / dataset
    with locked(folder.with_suffix(".lock")):
        missing = [row for row in rows if not (folder / row.file).is_file()]
        _complete(missing, folder, source / dataset if source else None, True, _to_stderr)
    _verify_all(rows, folder, removable=True)
    return folder
