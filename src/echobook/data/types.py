"""Typed facts about the data a chapter uses.

A :class:`DatasetUse` goes into the results file and into the provenance stamp, so that no figure can be
read without knowing which rows it came from.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class DatasetUse:
    """One data set as one run used it.

    Attributes:
        name: data set name as in the registry, or the generator's name.
        version: short commit of a public data set; generator version and seed of a generated one.
        sha256: 64 hexadecimal digits; see :func:`combined_digest` for a data set of several files.
        licence: licence in words; generated data say ``CC0-1.0 (generated)``.
        rows: number of rows after preparation, per split.
        source: address of the source, or the generator's module.

    Raises:
        ValueError: an empty field, a malformed digest or a negative count.
    """

    name: str
    version: str
    sha256: str
    licence: str
    rows: Mapping[str, int]
    source: str

    def __post_init__(self) -> None:
        for field in ("name", "version", "licence", "source"):
            if not getattr(self, field).strip():
                raise ValueError(f"DatasetUse.{field} is empty; expected text naming the data set's {field}")
        if not _SHA256.fullmatch(self.sha256):
            raise ValueError(
                f"DatasetUse.sha256 of {self.name}: expected 64 lower-case hexadecimal digits, "
                f"got {self.sha256!r}"
            )
        negative = {split: count for split, count in self.rows.items() if count < 0}
        if negative:
            raise ValueError(f"DatasetUse.rows of {self.name}: expected counts >= 0, got {negative}")

    @property
    def total(self) -> int:
        """Rows over all splits."""
        return sum(self.rows.values())

    def to_dict(self) -> dict[str, object]:
        """Plain JSON-ready values, splits in sorted order."""
        return {
            "name": self.name,
            "version": self.version,
            "sha256": self.sha256,
            "licence": self.licence,
            "rows": {split: int(self.rows[split]) for split in sorted(self.rows)},
            "source": self.source,
        }


def combined_digest(files: Mapping[str, str]) -> str:
    """SHA-256 of a set of files, given each file's own: the digest of the sorted ``digest  name`` lines."""
    lines = "".join(f"{files[name]}  {name}\n" for name in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


def rows_digest(rows: Iterable[Iterable[str]]) -> str:
    """SHA-256 of text rows in their given order; fields and rows cannot run into each other."""
    digest = hashlib.sha256()
    for row in rows:
        for field in row:
            encoded = field.encode()
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
        digest.update(b"\xff" * 8)
    return digest.hexdigest()
