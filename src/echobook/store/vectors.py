"""Context vectors as bytes, a small embedder, and reading a vector before a deadline.

A context vector is an array of one row a text. The embedder here hashes character trigrams: it needs no model
and is deterministic; a recogniser passes its own encoder in its place.
"""

import struct
import time
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float16

from echobook.store.errors import StoreError

_SHAPE = struct.Struct(">HH")
_MOST = 65_535
_SPREAD, _TOSS = np.uint32(2_654_435_769), np.uint32(2_246_822_519)  # odd: a product keeps trigrams apart


def pack(vector: Float16[np.ndarray, "K D"]) -> bytes:
    """Return an array of K texts by D features as bytes: both sizes, then the numbers row by row.

    Raises StoreError for another number of axes, sizes above 65,535, or numbers beyond half precision.
    """
    if vector.ndim != 2 or max(vector.shape, default=0) > _MOST:
        raise StoreError(
            f"context vector: expected two axes of at most {_MOST} each, got shape {vector.shape}; "
            "try one row a text"
        )
    with np.errstate(over="ignore"):
        halves = np.ascontiguousarray(vector, dtype="<f2")
    if not np.isfinite(halves).all():
        raise StoreError(
            f"context vector: expected finite numbers up to {np.finfo(np.float16).max:g} in size; "
            "try scaling the rows"
        )
    return _SHAPE.pack(*vector.shape) + halves.tobytes()


def unpack(data: bytes) -> Float16[np.ndarray, "K D"]:
    """Return the array of some bytes. Raises StoreError for bytes of another length than they announce."""
    rows, columns = _SHAPE.unpack_from(data) if len(data) >= _SHAPE.size else (0, 0)
    if len(data) != _SHAPE.size + 2 * rows * columns:
        raise StoreError(f"not a context vector: {len(data)} bytes for {rows} by {columns} numbers")
    return np.frombuffer(data, dtype="<f2", offset=_SHAPE.size).reshape(rows, columns).astype(np.float16)


def hashed_trigrams(texts: Mapping[str, bytes], *, features: int = 128) -> bytes:
    """Embed texts by signed hashing of their trigrams: one packed row of unit length a text.

    Raises StoreError unless `features` is a whole number, at least one.
    """
    if not isinstance(features, int) or features < 1:
        raise StoreError(f"features: expected a whole number, at least one, got {features}")
    rows = np.zeros((len(texts), features))
    for row, text in zip(rows, texts.values(), strict=True):
        letters = np.frombuffer(b" " + text + b" ", dtype=np.uint8).astype(np.uint32)
        trigrams = letters[:-2] << 16 | letters[1:-1] << 8 | letters[2:]
        columns = (trigrams * _SPREAD).astype(np.uint64) * np.uint64(features) >> np.uint64(32)
        signs = np.where(trigrams * _TOSS >> 31, 1.0, -1.0)
        row[:] = np.bincount(columns.astype(np.intp), weights=signs, minlength=features)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return pack((rows / np.maximum(norms, 1e-9)).astype(np.float16))


def read_within(
    read: Callable[[], bytes | None],
    deadline_s: float,
    *,
    poll_s: float = 0.005,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bytes | None:
    """Ask for a vector until it is there or `deadline_s` seconds have passed, then None.

    `read` is a design's `read` bound to an interaction; it never raises, so neither does this. The first
    question is asked even with a deadline of zero. An answer that comes after the deadline counts as None:
    the recogniser has already gone on without context.
    """
    end = clock() + deadline_s
    while True:
        vector = read()
        left = end - clock()
        if vector is not None:
            return vector if left >= 0 or deadline_s == 0 else None
        if left <= 0:
            return None
        sleep(min(poll_s, left))
