"""Read R's saved workspaces (``.rda``, gzip, big-endian form), as far as published data sets need it.

A workspace is a list of named values in R's serialization format, versions 2 and 3 (R Internals, section
"Serialization Formats"). Read are vectors of numbers, truth values and strings, lists, symbols, and objects
made of slots (S4), such as sparse matrices; R's wrappers around such vectors are taken off. Anything else
(functions, environments) is refused by its number.
"""

import gzip
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = (b"RDX2\nX\n", b"RDX3\nX\n")
_NULL, _REFERENCE = 254, 255
_HAS_ATTRIBUTES, _HAS_TAG = 0x200, 0x400
_LATIN1 = 1 << 2


class MalformedR(ValueError):
    """Bytes that are not a saved workspace of the kinds read here; file and place are named."""


@dataclass(frozen=True)
class RValue:
    """A value of R: ``value`` is an array, a list, a text or None; ``attributes`` are by name (S4: slots)."""

    value: Any
    attributes: dict[str, Any] = field(default_factory=dict)


def read_rda(path: Path) -> dict[str, RValue]:
    """All values of a saved workspace by name.

    Raises:
        MalformedR: not gzip, not R's big-endian form, cut short, or a kind of value that is not read.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, EOFError) as error:
        raise MalformedR(f"{path}: expected a gzip file, got {error}") from error
    if not content.startswith(MAGIC):
        raise MalformedR(f"{path}: expected R's form {MAGIC[1]!r}, got {content[:7]!r}")
    reader = _Reader(content, len(MAGIC[0]), path)
    reader.header()
    return {str(name): _whole(value) for name, value in reader.item()}


def _whole(value: Any) -> RValue:
    return value if isinstance(value, RValue) else RValue(value)


class _Reader:
    """One pass over the bytes; symbols are numbered as they come, and later named by number."""

    def __init__(self, content: bytes, position: int, path: Path) -> None:
        self.content, self.position, self.path = content, position, path
        self.symbols: list[str] = []
        self.readers: dict[int, Callable[[], Any]] = {
            10: self._integers,
            13: self._integers,
            14: lambda: self._array(">f8", 8),
            16: lambda: [self.item() for _ in range(self._integer())],
            19: lambda: [self.item() for _ in range(self._integer())],
            25: lambda: None,
            238: self._wrapped,
        }

    def header(self) -> None:
        """Version, writer, oldest reader; from version 3 on the name of the encoding."""
        version, _, _ = self._integer(), self._integer(), self._integer()
        if version == 3:
            self._bytes(self._integer())

    def item(self) -> Any:
        """The next value: a plain one, or an :class:`RValue` where it has attributes."""
        return self._value(self._integer())

    def _value(self, flags: int) -> Any:
        kind = flags & 255
        if kind == _NULL:
            return None
        if kind == _REFERENCE:
            return self.symbols[(flags >> 8 or self._integer()) - 1]
        if kind == 1:
            self.symbols.append(str(self.item()))
            return self.symbols[-1]
        if kind == 2:
            return self._pairs(flags)
        if kind == 9:
            return self._text(flags)
        if kind not in self.readers:
            raise self._refused(f"a value of R's kind {kind}")
        value = self.readers[kind]()
        return RValue(value, dict(self.item())) if flags & _HAS_ATTRIBUTES and kind != 238 else value

    def _wrapped(self) -> Any:
        """The vector in a wrapper: class, then state, whose first entry is the vector, then attributes."""
        name, state, attributes = self.item()[0][1], self.item(), self.item()
        if not str(name).startswith("wrap_"):
            raise self._refused(f"a vector in the form {name}")
        value = state[0][1]
        return RValue(value, dict(attributes)) if attributes else value

    def _refused(self, what: str) -> MalformedR:
        return MalformedR(f"{self.path}: byte {self.position}: {what} is not read here")

    def _pairs(self, flags: int) -> list[tuple[Any, Any]]:
        """A chain of (name, value); each link has its own flags. The end is nothing, or a last value."""
        found = []
        while flags & 255 == 2:
            if flags & _HAS_ATTRIBUTES:
                self.item()
            name = self.item() if flags & _HAS_TAG else None
            found.append((name, self.item()))
            flags = self._integer()
        return found if flags & 255 == _NULL else [*found, (None, self._value(flags))]

    def _text(self, flags: int) -> str | None:
        length = self._integer()
        if length == -1:
            return None
        encoding = "latin-1" if flags >> 12 & _LATIN1 else "utf-8"
        return self._bytes(length).decode(encoding)

    def _integers(self) -> np.ndarray:
        return self._array(">i4", 4)

    def _array(self, kind: str, size: int) -> np.ndarray:
        read = np.frombuffer(self._bytes(self._integer() * size), dtype=kind)
        return read.astype(kind.replace(">", "="))

    def _integer(self) -> int:
        return int(struct.unpack(">i", self._bytes(4))[0])

    def _bytes(self, count: int) -> bytes:
        end = self.position + count
        if count < 0 or end > len(self.content):
            raise MalformedR(
                f"{self.path}: cut short at byte {len(self.content)}; {count} more were expected"
            )
        read, self.position = self.content[self.position : end], end
        return read
