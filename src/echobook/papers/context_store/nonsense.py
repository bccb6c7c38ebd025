"""A server that answers with anything but what was asked for: pages, broken text, other shapes of JSON."""

from typing import Any

import numpy as np


class NonsenseClient:
    """A client of DynamoDB's protocol behind which a proxy or another service answers."""

    ANSWERS = (
        (502, b"<html>502 Bad Gateway</html>"),
        (200, b"<html>Welcome</html>"),
        (200, b"\xff\xfe"),
        (200, b"[]"),
        (200, b'{"Item": 3}'),
        (200, b'{"Item": {"v": {"B": "A"}}}'),
        (200, b'{"Item": {"v": {"L": []}}}'),
    )

    def __init__(self, rng: np.random.Generator) -> None:
        """`rng`: draws which of `ANSWERS` comes."""
        self._rng = rng

    def get_item(self, **_: object) -> dict[str, Any]:
        """Answer a read; raises what the quick client raises."""
        from echobook.store.transport import answered

        status, content = self.ANSWERS[int(self._rng.integers(len(self.ANSWERS)))]
        return answered("GetItem", status, content, endpoint="http://127.0.0.1")
