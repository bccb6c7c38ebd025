"""The registry of public data files: which file, from which commit, with which digest and licence.

``data/registry.csv`` has one row a file. Nothing is parsed that does not match its row's SHA-256.
"""

import csv
import os
import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from functools import lru_cache
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from echobook.data.types import DatasetUse, combined_digest

PERMISSIONS = ("yes", "no", "unclear")
RAW_HOST = "https://raw.githubusercontent.com"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPO = re.compile(r"[\w.-]+/[\w.-]+")


class RegistryError(ValueError):
    """A registry that cannot be trusted, or a data set that it does not know."""


@dataclass(frozen=True)
class RegistryRow:
    """One file of one data set. ``redistribution`` and ``commercial`` are yes, no or unclear."""

    dataset: str
    file: str
    url: str
    repo: str
    commit: str
    path_in_repo: str
    sha256: str
    bytes: int
    licence: str
    redistribution: str
    commercial: str

    def problems(self) -> list[str]:
        """What is wrong with this row, as ``field: expected ..., got ...``."""
        path = PurePosixPath(self.file)
        checks = [
            (bool(self.dataset.strip()), "dataset: expected a name", self.dataset),
            (
                bool(self.file) and not path.is_absolute() and ".." not in path.parts,
                "file: expected a relative path inside the data set",
                self.file,
            ),
            (bool(_REPO.fullmatch(self.repo)), "repo: expected owner/name", self.repo),
            (bool(_COMMIT.fullmatch(self.commit)), "commit: expected 40 hexadecimal digits", self.commit),
            (
                self.url == raw_address(self.repo, self.commit, self.path_in_repo),
                f"url: expected {RAW_HOST}/<repo>/<commit>/<path>, pinned to the row's commit",
                self.url,
            ),
            (
                bool(_SHA256.fullmatch(self.sha256)),
                "sha256: expected 64 lower-case hexadecimal digits",
                self.sha256,
            ),
            (self.bytes >= 0, "bytes: expected >= 0", str(self.bytes)),
            (bool(self.licence.strip()), "licence: expected text ('none stated' counts)", self.licence),
            (
                self.redistribution in PERMISSIONS,
                f"redistribution: expected {PERMISSIONS}",
                self.redistribution,
            ),
            (self.commercial in PERMISSIONS, f"commercial: expected {PERMISSIONS}", self.commercial),
        ]
        return [f"{expected}, got {actual!r}" for good, expected, actual in checks if not good]


COLUMNS = tuple(field.name for field in fields(RegistryRow))


def raw_address(repo: str, commit: str, path: str) -> str:
    """Download address of one file of a public repository at one commit."""
    return f"{RAW_HOST}/{repo}/{commit}/{quote(path)}"


def registry_path() -> Path:
    """``data/registry.csv`` of the repository (``ECHOBOOK_ROOT``, or the checkout this package lies in)."""
    root = os.environ.get("ECHOBOOK_ROOT")
    return (Path(root) if root else Path(__file__).resolve().parents[3]) / "data" / "registry.csv"


def read_registry(path: Path | None = None) -> tuple[RegistryRow, ...]:
    """All rows of the registry, in file order, validated.

    Raises:
        RegistryError: file missing, wrong columns, a malformed or a duplicate row; file and line are named.
    """
    path = path or registry_path()
    if not path.is_file():
        raise RegistryError(f"no registry at {path}; set ECHOBOOK_ROOT to the repository's folder")
    stat = path.stat()
    return _read_registry(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=8)
def _read_registry(path: Path, mtime_ns: int, size: int) -> tuple[RegistryRow, ...]:
    with path.open(encoding="utf-8", newline="") as handle:
        reader = csv.reader(handle, strict=True)
        header = next(reader, [])
        if tuple(header) != COLUMNS:
            raise RegistryError(f"{path}:1: expected the columns {','.join(COLUMNS)}, got {','.join(header)}")
        rows = [_parse(path, reader.line_num, record) for record in reader]
    _refuse_duplicates(path, rows)
    return tuple(rows)


def _parse(path: Path, line: int, record: list[str]) -> RegistryRow:
    if len(record) != len(COLUMNS):
        raise RegistryError(f"{path}:{line}: expected {len(COLUMNS)} fields, got {len(record)}")
    values = dict(zip(COLUMNS, record, strict=True))
    if not values["bytes"].isdecimal():
        raise RegistryError(f"{path}:{line}: bytes: expected a whole number, got {values['bytes']!r}")
    row = RegistryRow(**{**values, "bytes": int(values["bytes"])})  # type: ignore[arg-type]
    if problems := row.problems():
        raise RegistryError(f"{path}:{line}: {'; '.join(problems)}")
    return row


def _refuse_duplicates(path: Path, rows: Iterable[RegistryRow]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for line, row in enumerate(rows, start=2):
        first = seen.setdefault((row.dataset, row.file), line)
        if first != line:
            raise RegistryError(f"{path}: row {line - 1} repeats row {first - 1}: {row.dataset}/{row.file}")


def dataset_rows(
    dataset: str, files: Iterable[str] | None = None, path: Path | None = None
) -> tuple[RegistryRow, ...]:
    """The rows of one data set, or of the named files of it.

    Raises:
        RegistryError: an unknown data set or file; the known ones are named.
    """
    registry = read_registry(path)
    rows = {row.file: row for row in registry if row.dataset == dataset}
    if not rows:
        known = ", ".join(sorted({row.dataset for row in registry}))
        raise RegistryError(f"unknown data set {dataset!r}; the registry knows: {known}")
    wanted = list(rows) if files is None else list(files)
    if unknown := [file for file in wanted if file not in rows]:
        raise RegistryError(f"{dataset} has no file {unknown[0]!r}; it has {', '.join(list(rows)[:20])}")
    return tuple(rows[file] for file in wanted)


def public_use(dataset: str, counts: dict[str, int], files: Iterable[str] | None = None) -> DatasetUse:
    """:class:`DatasetUse` of a registered data set.

    Args:
        dataset: registry name.
        counts: rows after preparation, per split.
        files: the files that were parsed; all of the data set by default.
    """
    rows = dataset_rows(dataset, files)
    first = rows[0]
    return DatasetUse(
        name=dataset,
        version=first.commit[:12],
        sha256=combined_digest({row.file: row.sha256 for row in rows}),
        licence="; ".join(dict.fromkeys(row.licence for row in rows)),
        rows=counts,
        source=f"https://github.com/{first.repo}/tree/{first.commit}",
    )


def write_registry(rows: Iterable[RegistryRow], path: Path) -> None:
    """Write rows sorted by data set and file, to a temporary name that is then renamed."""
    ordered = sorted(rows, key=lambda row: (row.dataset, row.file))
    _refuse_duplicates(path, ordered)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(astuple(row) for row in ordered)
    os.replace(temporary, path)
