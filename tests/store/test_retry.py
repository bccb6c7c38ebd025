"""The schedule of pauses, worked out by hand, and what is repeated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.store.deciding import ENTRIES
from echobook.store.errors import ConditionFailed, StoreError, StoreFull, Throttled
from echobook.store.faults import Failing, Flaky
from echobook.store.memory import MemoryStore
from echobook.store.port import Change
from echobook.store.retry import Retrying

KEY = ENTRIES.key("i")


class Draws:
    """A generator whose draws are given."""

    def __init__(self, *draws):
        self.draws = list(draws)

    def random(self):
        return self.draws.pop(0)


def generator(*draws):
    made = np.random.default_rng(0)
    given_draws = Draws(*draws)
    return type("Given", (np.random.Generator,), {"random": lambda self: given_draws.random()})(
        made.bit_generator
    )


def test_the_schedule_by_hand():
    """Base 20 ms, ceiling 100 ms: bounds 20, 40, 80, 100, 100 ms, times the draws given below."""
    pauses = []
    store = Retrying(
        Failing(MemoryStore(), range(5), Throttled("slow down")),
        generator(0.5, 1.0, 0.0, 0.25, 0.5),
        sleep=pauses.append,
        attempts=6,
        base_s=0.02,
        ceiling_s=0.1,
    )
    assert store.get(ENTRIES, KEY) is None
    assert pauses == pytest.approx([0.01, 0.04, 0.0, 0.025, 0.05])
    assert store.repeats == 5


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(0, 12), st.integers(0, 2**31))
def test_a_call_gets_through_exactly_when_attempts_outnumber_failures(attempts, failures, seed):
    pauses = []
    inner = Failing(MemoryStore(), range(failures), Throttled("slow down"))
    store = Retrying(inner, np.random.default_rng(seed), sleep=pauses.append, attempts=attempts)
    if failures < attempts:
        store.put(ENTRIES, {**KEY, "n": 1})
    else:
        with pytest.raises(Throttled, match="slow down"):
            store.put(ENTRIES, {**KEY, "n": 1})
    assert inner.count == min(attempts, failures + 1)
    assert len(pauses) == store.repeats == min(attempts - 1, failures)
    assert all(0 <= pause <= min(1.0, 0.02 * 2**number) for number, pause in enumerate(pauses))


def test_clients_throttled_together_do_not_come_back_together():
    """A hundred clients, each throttled once: their pauses spread over the whole of the first bound."""
    pauses = []
    for seed in range(100):
        inner = Failing(MemoryStore(), [0], Throttled("slow down"))
        Retrying(inner, np.random.default_rng(seed), sleep=pauses.append, base_s=1.0).get(ENTRIES, KEY)
    counts, _ = np.histogram(pauses, bins=4, range=(0.0, 1.0))
    assert counts.sum() == 100
    assert counts.min() >= 10  # 25 expected; fewer than 10 has a probability below 0.0001


@pytest.mark.parametrize("error", [StoreFull("full"), ConditionFailed("no"), StoreError("bad")])
def test_only_throttling_is_repeated(error, rng):
    inner = Failing(MemoryStore(), [0], error)
    store = Retrying(inner, rng, sleep=lambda _: pytest.fail("must not pause"))
    with pytest.raises(type(error)):
        store.get(ENTRIES, KEY)
    assert inner.count == 1


def test_a_counter_is_not_safe_to_repeat_and_a_set_is(rng):
    """Why events are a set: the answer of the first try is lost, the try is not."""

    class Losing(Flaky):
        def __init__(self, store):
            super().__init__(store, rng)
            self.first = True

        def around(self, verb, call):
            answer = call()
            if self.first:
                self.first = False
                raise Throttled("the answer was lost on purpose")
            return answer

    for change, expected in ((Change(add={"n": 1}), {"n": 2}), (Change(add={"ev": frozenset({"A"})}), None)):
        store = Retrying(Losing(MemoryStore()), rng, sleep=lambda _: None)
        image = store.update(ENTRIES, KEY, change)
        assert {name: image[name] for name in image if name != "interaction"} == (
            expected or {"ev": frozenset({"A"})}
        )


def test_every_verb_passes_through(rng):
    inner = MemoryStore()
    store = Retrying(inner, rng, sleep=lambda _: None)
    store.put_many(ENTRIES, [KEY])
    store.update(ENTRIES, KEY, Change(set={"n": 1}))
    assert store.get_many(ENTRIES, [KEY]) == store.query(ENTRIES, "i") == list(store.scan(ENTRIES))
    with store.together():
        store.delete(ENTRIES, KEY)
    assert store.get(ENTRIES, KEY) is None
    assert store.spent is inner.spent
    store.close()


@pytest.mark.parametrize("bad", [{"attempts": 0}, {"base_s": -0.1}, {"ceiling_s": -1.0}])
def test_bad_settings_are_refused(bad, rng):
    with pytest.raises(StoreError, match="attempts >= 1 and pauses >= 0"):
        Retrying(MemoryStore(), rng, sleep=lambda _: None, **bad)
