"""An asyncio event loop whose clock jumps to the next timer: simulations with the real code, in no time.

Everything that waits with `asyncio.sleep` or timeouts works unchanged, and a run is deterministic. Threads
and sockets have no place in it.
"""

import asyncio
import selectors
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jump(selectors.SelectSelector):
    """A selector that does not wait: it moves the clock instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | int | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("simulated time: nothing is left to wait for, yet a task is unfinished")
        self.now += max(0.0, timeout)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop in simulated seconds, from 0."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Return the simulated seconds."""
        return self._jump.now


def _run_in_thread(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, T]) -> T:
    """Run to completion in a thread of its own, so that a notebook's own loop does not matter."""
    answer: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            answer.append(loop.run_until_complete(main))
        except BaseException as error:
            failure.append(error)
        finally:
            loop.close()

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return answer[0]


def run_simulated(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in simulated time and return its result."""
    return _run_in_thread(SimulatedLoop(), main)


def run_real(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in real time and return its result."""
    return _run_in_thread(asyncio.new_event_loop(), main)
