"""Items of a key-value table, their size in bytes and what reading or writing them costs.

An item maps attribute names to text, whole numbers, bytes or non-empty sets of text. Sizes follow the rules
of DynamoDB's developer guide ("Item sizes and formats", "Capacity unit consumption"):

- text and names count their UTF-8 bytes, bytes their length, a set the sum of its members;
- a number counts one byte, one for each started pair of significant digits (aligned to the decimal point) and
  one for a minus sign;
- a write costs one unit for each started KiB of the whole item, before or after, whichever is larger;
- a read costs one unit for each started 4 KiB when it is consistent, half of it otherwise, at least one step;
- a transaction costs twice as much.
"""

import functools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from echobook.store.errors import ItemTooLarge, StoreError

Value = str | int | bytes | frozenset[str]
Item = dict[str, Value]
LIMIT = 400 * 1024
_KINDS = (str, int, bytes, frozenset)
_NUMBERS = 10**37
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Table:
    """A table: its name, its partition key and, where items of one partition are told apart, its sort key."""

    name: str
    partition_key: str
    sort_key: str | None = None

    @functools.cached_property
    def keys(self) -> tuple[str, ...]:
        """Names of the key attributes."""
        return (self.partition_key,) if self.sort_key is None else (self.partition_key, self.sort_key)

    def key(self, *values: str) -> Item:
        """Return a key from its values in order: the partition first."""
        if len(values) != len(self.keys):
            raise StoreError(
                f"{self.name}: expected a key of {', '.join(self.keys)}, got {len(values)} values"
            )
        return dict(zip(self.keys, values, strict=True))

    def identity(self, item: Mapping[str, Value]) -> tuple[str, str]:
        """Return partition and sort value of an item or key (an empty sort value where there is no sort key).

        Raises StoreError when a key attribute is missing, empty or not text.
        """
        partition = self._text(item, self.partition_key)
        return partition, "" if self.sort_key is None else self._text(item, self.sort_key)

    def _text(self, item: Mapping[str, Value], name: str) -> str:
        value = item.get(name)
        if not isinstance(value, str) or not value:
            raise StoreError(
                f"{self.name}: key attribute {name!r}: expected text, got {type(value).__name__}"
            )
        return value


@functools.lru_cache(4096)
def _named(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def check_value(table: Table, name: str, value: object) -> None:
    """Raise StoreError unless an attribute can be stored in every back-end."""
    if not _named(name):
        raise StoreError(
            f"{table.name}: attribute {name!r}: expected lower-case letters, digits, underscores"
        )
    if isinstance(value, bool) or not isinstance(value, _KINDS):
        raise StoreError(
            f"{table.name}: attribute {name!r}: expected text, a whole number, bytes or a frozenset of text, "
            f"got {type(value).__name__}"
        )
    if isinstance(value, int) and abs(value) >= _NUMBERS:
        raise StoreError(f"{table.name}: attribute {name!r}: a number of more than 37 digits")
    if isinstance(value, frozenset) and not (value and all(one and isinstance(one, str) for one in value)):
        raise StoreError(f"{table.name}: attribute {name!r}: expected a non-empty set of non-empty text")


def check_form(table: Table, item: Mapping[str, Value]) -> None:
    """Raise StoreError for a bad key or attribute."""
    table.identity(item)
    for name, value in item.items():
        check_value(table, name, value)


def check_item(table: Table, item: Mapping[str, Value]) -> None:
    """Raise StoreError for a bad key or attribute, ItemTooLarge above 400 KiB."""
    check_form(table, item)
    check_size(table, item)


def check_size(table: Table, item: Mapping[str, Value]) -> None:
    """Raise ItemTooLarge for an item above 400 KiB."""
    if (size := item_size(item)) > LIMIT:
        raise ItemTooLarge(f"{table.name}: item of {size} bytes; expected at most {LIMIT}")


def _number_size(number: int) -> int:
    """Bytes of a number: digits are stored in pairs, aligned to the decimal point."""
    if number == 0:
        return 1
    digits = str(abs(number))
    exponent, significant = len(digits) - 1, len(digits.rstrip("0"))
    unaligned = significant % 2 == 0 and exponent % 2 == 0
    return 1 + math.ceil(significant / 2) + unaligned + (number < 0)


def value_size(value: Value) -> int:
    """Bytes that a value counts."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, int):
        return _number_size(value)
    return sum(map(value_size, value))


def item_size(item: Mapping[str, Value]) -> int:
    """Bytes that an item counts: names and values."""
    return sum(len(name) + value_size(value) for name, value in item.items())


def write_units(before: Mapping[str, Value] | None, after: Mapping[str, Value] | None) -> float:
    """Units of a write that turns `before` into `after` (None where there is no item); at least one."""
    return float(max(1, *(math.ceil(item_size(item) / 1024) for item in (before, after) if item), 1))


def read_units(item: Mapping[str, Value] | None, *, consistent: bool) -> float:
    """Units of reading one item by its key; a missing item costs the least step."""
    return (math.ceil(item_size(item) / 4096) if item else 1) / (1 if consistent else 2)


def page_units(items: Iterable[Mapping[str, Value]], *, consistent: bool) -> float:
    """Units of one page of a query: sizes are summed, then rounded up."""
    return math.ceil(sum(map(item_size, items)) / 4096) / (1 if consistent else 2)
