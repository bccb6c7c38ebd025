"""A clock that jumps: order, sums, timeouts and failures of simulated time."""

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.store.simulated_time import run_real, run_simulated


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=12))
def test_sleepers_wake_in_order_at_their_times(seconds):
    async def main():
        loop, woken = asyncio.get_running_loop(), []

        async def sleeper(pause):
            await asyncio.sleep(pause)
            woken.append((loop.time(), pause))

        await asyncio.gather(*(sleeper(pause) for pause in seconds))
        return woken

    woken = run_simulated(main())
    assert [pause for _, pause in woken] == sorted(seconds)
    assert all(at >= pause - 1e-6 for at, pause in woken)
    assert woken[-1][0] == pytest.approx(max(seconds), abs=0.01)  # asyncio rounds timers to its resolution


def test_a_day_takes_no_time():
    begun = time.monotonic()
    run_simulated(asyncio.sleep(86_400))
    assert time.monotonic() - begun < 5


def test_timeouts_fire_at_their_deadline():
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(10), timeout=3)
        late = loop.time()
        assert await asyncio.wait_for(asyncio.sleep(1, "in time"), timeout=3) == "in time"
        return late, loop.time()

    assert run_simulated(main()) == pytest.approx((3, 4), abs=0.01)


def test_errors_come_out_of_both_kinds():
    async def broken():
        await asyncio.sleep(0)
        raise KeyError("a bug")

    for run in (run_simulated, run_real):
        with pytest.raises(KeyError, match="a bug"):
            run(broken())


def test_it_runs_inside_another_loop():
    async def outer():
        return run_simulated(asyncio.sleep(5, "inner"))

    assert asyncio.run(outer()) == "inner"


def test_two_runs_are_alike():
    async def main():
        order = []

        async def worker(name, pause):
            for _ in range(5):
                await asyncio.sleep(pause)
                order.append((name, asyncio.get_running_loop().time()))

        await asyncio.gather(worker("a", 0.3), worker("b", 0.2), worker("c", 0.3))
        return order

    assert run_simulated(main()) == run_simulated(main())
