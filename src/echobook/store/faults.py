"""Faults on purpose: proxies in front of any back-end that throttle, lose answers, serve old images or fail.

Each draws from a generator passed in, so a run with faults repeats exactly.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

import numpy as np

from echobook.store.conditions import Condition
from echobook.store.errors import StoreError, Throttled
from echobook.store.items import Item, Table
from echobook.store.port import Change, Put, Spent, Store, Write, changed

T = TypeVar("T")


class Proxy:
    """A store in front of another; `around` decides what happens to each call."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def spent(self) -> Spent:
        """What the store behind has spent."""
        return self.store.spent

    def around(self, verb: str, call: Callable[[], T]) -> T:
        """Make the call; subclasses do more."""
        return call()

    def put(self, table: Table, item: Item, *, condition: Condition | None = None) -> None:
        """See the port."""
        self.around("put", lambda: self.store.put(table, item, condition=condition))

    def put_many(self, table: Table, items: Sequence[Item]) -> None:
        """See the port."""
        self.around("put_many", lambda: self.store.put_many(table, items))

    def update(self, table: Table, key: Item, change: Change, *, condition: Condition | None = None) -> Item:
        """See the port."""
        return self.around("update", lambda: self.store.update(table, key, change, condition=condition))

    def get(self, table: Table, key: Item, *, consistent: bool = True) -> Item | None:
        """See the port."""
        return self.around("get", lambda: self.store.get(table, key, consistent=consistent))

    def get_many(self, table: Table, keys: Sequence[Item], *, consistent: bool = True) -> list[Item]:
        """See the port."""
        return self.around("get_many", lambda: self.store.get_many(table, keys, consistent=consistent))

    def query(self, table: Table, partition: str, *, prefix: str = "", consistent: bool = True) -> list[Item]:
        """See the port."""
        return self.around(
            "query", lambda: self.store.query(table, partition, prefix=prefix, consistent=consistent)
        )

    def delete(self, table: Table, key: Item, *, condition: Condition | None = None) -> None:
        """See the port."""
        self.around("delete", lambda: self.store.delete(table, key, condition=condition))

    def scan(self, table: Table) -> Iterable[Item]:
        """See the port."""
        return self.around("scan", lambda: self.store.scan(table))

    def transact(self, writes: Sequence[Write]) -> None:
        """See the port."""
        self.around("transact", lambda: self.store.transact(writes))

    def together(self) -> AbstractContextManager[None]:
        """See the port."""
        return self.store.together()

    def close(self) -> None:
        """See the port."""
        self.store.close()


class Flaky(Proxy):
    """Throttles a share of the calls before they reach the store, and loses the answers of another share.

    A lost answer is the harder fault: the write happened, and the caller, told to slow down, repeats it.
    """

    def __init__(
        self, store: Store, rng: np.random.Generator, *, throttled: float = 0.0, lost: float = 0.0
    ) -> None:
        """`throttled`, `lost`: probabilities in [0, 1), together below 1."""
        super().__init__(store)
        if not (min(throttled, lost) >= 0 and throttled + lost < 1):
            raise ValueError(f"need probabilities with a sum below 1, got {throttled} and {lost}")
        self._rng, self._throttled, self._lost = rng, throttled, lost

    def around(self, verb: str, call: Callable[[], T]) -> T:
        """Throttle, lose the answer, or pass on."""
        draw = self._rng.random()
        if draw < self._throttled:
            raise Throttled(f"{verb}: throttled on purpose")
        answer = call()
        if draw < self._throttled + self._lost:
            raise Throttled(f"{verb}: the answer was lost on purpose")
        return answer


class Failing(Proxy):
    """Raises an error on the calls whose number (from 0) is given, before they reach the store."""

    def __init__(self, store: Store, at: Iterable[int], error: StoreError) -> None:
        super().__init__(store)
        self._at, self._error, self.count = set(at), error, 0

    def around(self, verb: str, call: Callable[[], T]) -> T:
        """Fail or pass on."""
        self.count += 1
        if self.count - 1 in self._at:
            raise self._error
        return call()


class StaleReplica(Proxy):
    """Answers a share of the reads that are not consistent from a replica that lags behind.

    A write, delete or transaction shows there after an exponential time, in the order of those of a key. Only
    what passes through the proxy is seen by the replica.
    """

    def __init__(
        self,
        store: Store,
        rng: np.random.Generator,
        *,
        clock: Callable[[], float],
        lag_s: float,
        share: float = 1 / 3,
    ) -> None:
        """`clock`: seconds. `lag_s`: mean lag. `share`: of reads that meet the lagging replica, in [0, 1]."""
        super().__init__(store)
        if lag_s < 0 or not 0 <= share <= 1:
            raise ValueError(f"need lag_s >= 0 and a share in [0, 1], got {lag_s} and {share}")
        self._rng, self._clock, self._lag, self._share = rng, clock, lag_s, share
        self._history: dict[tuple[str, str, str], list[tuple[float, Item | None]]] = {}

    def _note(self, table: Table, key: Item, item: Item | None) -> None:
        past = self._history.setdefault((table.name, *table.identity(key)), [])
        shows = self._clock() + float(self._rng.exponential(self._lag))
        shows = max([shows, *(at for at, _ in past[-1:])])
        past.append((shows, None if item is None else dict(item)))

    def put(self, table: Table, item: Item, *, condition: Condition | None = None) -> None:
        """See the port."""
        super().put(table, item, condition=condition)
        self._note(table, item, item)

    def put_many(self, table: Table, items: Sequence[Item]) -> None:
        """See the port."""
        super().put_many(table, items)
        for item in items:
            self._note(table, item, item)

    def update(self, table: Table, key: Item, change: Change, *, condition: Condition | None = None) -> Item:
        """See the port."""
        after = super().update(table, key, change, condition=condition)
        self._note(table, after, after)
        return after

    def delete(self, table: Table, key: Item, *, condition: Condition | None = None) -> None:
        """See the port."""
        super().delete(table, key, condition=condition)
        self._note(table, key, None)

    def transact(self, writes: Sequence[Write]) -> None:
        """See the port."""
        super().transact(writes)
        for write in writes:
            if isinstance(write, Put):
                self._note(write.table, write.item, write.item)
                continue
            past = self._history.get((write.table.name, *write.table.identity(write.key)), [])
            before = past[-1][1] if past else None
            self._note(write.table, write.key, changed(write.table, write.key, before, write.change))

    def get(self, table: Table, key: Item, *, consistent: bool = True) -> Item | None:
        """See the port; an old image unless consistent."""
        newest = super().get(table, key, consistent=consistent)
        if consistent or self._rng.random() >= self._share:
            return newest
        past = self._history.get((table.name, *table.identity(key)), [])
        shown = [item for at, item in past if at <= self._clock()]
        return dict(shown[-1]) if shown and shown[-1] is not None else None
