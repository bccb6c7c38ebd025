"""The same random operations sent to two back-ends, answer by answer: values, errors and capacity units.

Keys, attributes and values come from small pools, so that operations meet: conditions hold and fail, sets and
numbers clash in type, items grow over unit boundaries, keys are missing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from echobook.store.conditions import Absent, AllOf, AnyOf, Below, Condition, Equals, Not
from echobook.store.errors import StoreError
from echobook.store.items import Item, Table, Value
from echobook.store.port import Change, Put, Store, Update

RANDOM = Table("random_items", "owner", "part")
_KINDS = {"text": 0, "count": 1, "size": 1, "data": 2, "words": 3, "name": 3}  # text, number, bytes, set
_NUMBERS = (0, 1, -1, 7, 10, 1000, -120, 12345, 99_000_000, 10**20 + 1, 1_700_000_000)

Operation = Callable[[Store], Any]


@dataclass(frozen=True)
class Difference:
    """Where two back-ends parted: number of the operation, its verb, and both answers."""

    number: int
    verb: str
    first: Any
    second: Any


def _words(rng: np.random.Generator) -> frozenset[str]:
    return frozenset(f"w{number}" for number in rng.integers(0, 6, int(rng.integers(1, 4))))


def _number(rng: np.random.Generator) -> int:
    return int(_NUMBERS[rng.integers(len(_NUMBERS))])


def _key(rng: np.random.Generator) -> Item:
    return RANDOM.key(f"o{rng.integers(4)}", f"p#{rng.integers(4)}")


def _keys(rng: np.random.Generator, count: int) -> list[Item]:
    return list({RANDOM.identity(key): key for key in (_key(rng) for _ in range(count))}.values())


@dataclass(frozen=True)
class Operations:
    """Draws random operations.

    Attributes:
        clashes: whether attributes change their type, so that conditions and sums meet the wrong one.
        transactions: whether to draw transactions too.
    """

    clashes: bool = True
    transactions: bool = False

    def draw(self, rng: np.random.Generator) -> tuple[str, Operation]:
        """Return a verb and an operation to call on a store."""
        kind, condition = int(rng.integers(14 if self.transactions else 13)), self._condition(rng)
        if kind < 3:
            item = self._item(rng, _key(rng))
            return "put", lambda store: store.put(RANDOM, item, condition=condition)
        if kind < 7:
            key, change = _key(rng), self._change(rng)
            return "update", lambda store: store.update(RANDOM, key, change, condition=condition)
        if kind == 7:
            key = _key(rng)
            return "delete", lambda store: store.delete(RANDOM, key, condition=condition)
        if kind == 8:
            items = [self._item(rng, key) for key in _keys(rng, 5)]
            return "put_many", lambda store: store.put_many(RANDOM, items)
        return ("transact", self._transaction(rng)) if kind == 13 else _reading(rng, kind)

    def _names(self, rng: np.random.Generator, count: int) -> list[str]:
        return [str(name) for name in rng.choice(list(_KINDS), count, replace=False)]

    def _kind(self, rng: np.random.Generator, name: str) -> int:
        return int(rng.integers(4)) if self.clashes else _KINDS[name]

    def _value(self, rng: np.random.Generator, name: str) -> Value:
        kind = self._kind(rng, name)
        if kind == 0:
            return "x" * int(rng.choice([0, 1, 5, 900, 3000]))
        if kind == 1:
            return _number(rng)
        return bytes(int(rng.choice([1, 12, 1000, 5000]))) if kind == 2 else _words(rng)

    def _condition(self, rng: np.random.Generator, depth: int = 0) -> Condition | None:
        kind, name = int(rng.integers(6 if depth else 9)), self._names(rng, 1)[0]
        if kind == 2:
            return Equals(name, self._value(rng, name))
        if kind == 3:
            below = Below(name if self.clashes else "count", _number(rng))
            return Not(below) if rng.integers(2) else below
        if kind in (4, 5) and depth < 2:
            parts = [part for part in (self._condition(rng, depth + 1) for _ in range(2)) if part]
            return (AllOf if kind == 4 else AnyOf)(tuple(parts)) if parts else None
        return Absent(name) if depth or kind < 2 else None

    def _item(self, rng: np.random.Generator, key: Item) -> Item:
        return key | {name: self._value(rng, name) for name in self._names(rng, int(rng.integers(0, 4)))}

    def _change(self, rng: np.random.Generator) -> Change:
        add: dict[str, frozenset[str] | int] = {}
        put: dict[str, Value] = {}
        remove = []
        for name in self._names(rng, int(rng.integers(1, 5))):
            value, act = self._value(rng, name), rng.integers(4)
            if act >= 2 and isinstance(value, int | frozenset):
                add[name] = value
            elif act == 1:
                remove.append(name)
            else:
                put[name] = value
        return Change(add, put, tuple(remove))

    def _transaction(self, rng: np.random.Generator) -> Operation:
        first, *more = _keys(rng, 2)
        writes: list[Put | Update] = [Put(RANDOM, self._item(rng, first), self._condition(rng))]
        writes += [Update(RANDOM, key, self._change(rng), self._condition(rng)) for key in more]
        return lambda store: store.transact(writes)


def _reading(rng: np.random.Generator, kind: int) -> tuple[str, Operation]:
    consistent, key = bool(rng.integers(2)), _key(rng)
    if kind < 11:
        return "get", lambda store: store.get(RANDOM, key, consistent=consistent)
    if kind == 11:
        keys = _keys(rng, 4)
        return "get_many", lambda store: store.get_many(RANDOM, keys, consistent=consistent)
    owner, prefix = str(key["owner"]), str(rng.choice(["", "p#", "p#1", "q"]))
    return "query", lambda store: store.query(RANDOM, owner, prefix=prefix, consistent=consistent)


def _answer(store: Store, call: Operation, *, units: bool) -> tuple[Any, float, float]:
    """Return the answer or the error's type, and the units that the call cost."""
    before = (store.spent.read_units, store.spent.write_units)
    try:
        answer = call(store)
    except StoreError as error:
        return type(error).__name__, 0.0, 0.0  # servers report no units with an error
    if not units:
        return answer, 0.0, 0.0
    return answer, store.spent.read_units - before[0], store.spent.write_units - before[1]


def compare(
    first: Store,
    second: Store,
    rng: np.random.Generator,
    operations: int,
    *,
    kinds: Operations | None = None,
    units: bool = True,
) -> list[Difference]:
    """Send `operations` random operations to both stores and return where they parted.

    `kinds`: which operations to draw. `units`: whether to compare capacity units too.
    """
    found, drawn = [], kinds or Operations()
    for number in range(operations):
        verb, call = drawn.draw(rng)
        answers = [_answer(store, call, units=units) for store in (first, second)]
        if answers[0] != answers[1]:
            found.append(Difference(number, verb, *answers))
    return found
