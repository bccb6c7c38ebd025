"""Repeating throttled calls: exponential pauses with full jitter, a bounded number of times.

The pause before attempt n is uniform in [0, min(ceiling, base * 2^n)]: without jitter, clients that were
throttled together come back together. Every call of the protocol may be repeated: adding to sets, putting the
same item, claiming under the same token and marking as done twice all end where once does.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from echobook.store.errors import StoreError, Throttled
from echobook.store.faults import Proxy
from echobook.store.port import Store

T = TypeVar("T")


class Retrying(Proxy):
    """Repeats throttled calls of the store behind."""

    def __init__(
        self,
        store: Store,
        rng: np.random.Generator,
        *,
        sleep: Callable[[float], None],
        attempts: int = 6,
        base_s: float = 0.02,
        ceiling_s: float = 1.0,
    ) -> None:
        """`sleep`: how to pause, in seconds. `attempts`: calls in all before Throttled goes to the caller."""
        super().__init__(store)
        if attempts < 1 or base_s < 0 or ceiling_s < 0:
            raise StoreError(
                f"retry: expected attempts >= 1 and pauses >= 0, got {attempts}, {base_s}, {ceiling_s}"
            )
        self._rng, self._sleep, self._attempts = rng, sleep, attempts
        self._base, self._ceiling = base_s, ceiling_s
        self.repeats = 0

    def around(self, verb: str, call: Callable[[], T]) -> T:
        """Call, pause and call again."""
        for attempt in range(self._attempts - 1):
            try:
                return call()
            except Throttled:
                self.repeats += 1
                self._sleep(self._rng.random() * min(self._ceiling, self._base * 2**attempt))
        return call()
