"""Items as bytes for the embedded store: a JSON header, then the byte values one after another.

Layout: four bytes with the length of the header, the header in UTF-8, the byte values in the header's order.
Text and numbers of up to 64 bits stand in the header as they are, longer numbers as ``{"n": digits}``; a set
as ``["s", ...]`` in sorted order; bytes as ``{"b": length}``. The form is canonical: equal items give equal
bytes.
"""

import struct
from collections.abc import Mapping

import orjson

from echobook.store.errors import StoreError
from echobook.store.items import Item, Value

_LENGTH = struct.Struct(">I")
_LONG = 1 << 63


def encode(item: Mapping[str, Value]) -> bytes:
    """Return an item's bytes."""
    header: dict[str, object] = {}
    blobs = []
    for name in sorted(item):
        value = item[name]
        if isinstance(value, bytes):
            blobs.append(value)
            header[name] = {"b": len(value)}
        elif isinstance(value, frozenset):
            header[name] = ["s", *sorted(value)]
        else:
            long = isinstance(value, int) and not -_LONG <= value < _LONG
            header[name] = {"n": str(value)} if long else value
    text = orjson.dumps(header)
    return b"".join((_LENGTH.pack(len(text)), text, *blobs))


def decode(data: bytes) -> Item:
    """Return the item of some bytes. Raises StoreError when they are not what `encode` makes."""
    try:
        (length,) = _LENGTH.unpack_from(data)
        at = _LENGTH.size + length
        header = orjson.loads(data[_LENGTH.size : at])
        item: Item = {}
        for name, value in header.items():
            if isinstance(value, dict) and "n" in value:
                item[name] = int(value["n"])
            elif isinstance(value, dict):
                item[name] = data[at : at + value["b"]]
                at += value["b"]
            else:
                item[name] = frozenset(value[1:]) if isinstance(value, list) else value
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"a stored item of {len(data)} bytes is damaged") from error
    if at != len(data):
        raise StoreError(f"a stored item is damaged: expected {at} bytes, found {len(data)}")
    return item
