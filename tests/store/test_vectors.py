"""Vectors as bytes, the stand-in embedder, and the read with a deadline."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.store.errors import StoreError
from echobook.store.interleave import Ticks
from echobook.store.vectors import hashed_trigrams, pack, read_within, unpack


@settings(deadline=None)
@given(st.integers(0, 5), st.integers(0, 9), st.integers(0, 2**32 - 1))
def test_round_trip(rows, columns, seed):
    vector = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float16)
    np.testing.assert_array_equal(unpack(pack(vector)), vector)


def test_layout_and_refusals():
    assert pack(np.array([[1.0, 2.0]], dtype=np.float16)) == b"\x00\x01\x00\x02\x00\x3c\x00\x40"
    for bad in (b"", b"\x00\x01\x00\x02\x00", pack(np.zeros((2, 2), dtype=np.float16))[:-1]):
        with pytest.raises(StoreError, match="not a context vector"):
            unpack(bad)


def test_the_embedder_is_deterministic_and_tells_texts_apart():
    texts = {"a": b"meg bauer", "b": b"meg power", "c": b""}
    rows = unpack(hashed_trigrams(texts)).astype(float)
    assert rows.shape == (3, 128)
    np.testing.assert_allclose(np.linalg.norm(rows[:2], axis=1), 1, atol=5e-3)  # half precision
    assert 0 < rows[0] @ rows[1] < 0.9
    assert hashed_trigrams(texts) == hashed_trigrams(dict(texts))
    assert unpack(hashed_trigrams({})).shape == (0, 128)


class Slow:
    """Has a vector from a time on; each question takes `takes` seconds."""

    def __init__(self, clock, ready_at, takes=0.0):
        self.clock, self.ready_at, self.takes, self.asked = clock, ready_at, takes, 0

    def __call__(self):
        self.asked += 1
        self.clock.now += self.takes
        return b"v" if self.clock.now >= self.ready_at else None


@pytest.mark.parametrize(
    ("ready", "deadline", "takes", "found"),
    [(0.0, 0.0, 0.0, True), (0.03, 0.05, 0.0, True), (0.06, 0.05, 0.0, False), (0.0, 0.05, 0.06, False)],
)
def test_deadlines(ready, deadline, takes, found):
    clock = Ticks(0.0)
    read = Slow(clock, ready, takes)

    def sleep(seconds):
        clock.now += seconds

    answer = read_within(read, deadline, poll_s=0.01, clock=clock, sleep=sleep)
    assert (answer is not None) is found
    assert clock.now <= deadline + takes + 1e-9
    assert read.asked >= 1


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        (np.zeros(3, dtype=np.float16), r"two axes of at most 65535 each, got shape \(3,\)"),
        (np.zeros((65_536, 0), dtype=np.float16), r"got shape \(65536, 0\)"),
        (np.full((1, 2), 1e6), "finite numbers up to 65504"),
        (np.full((1, 2), np.nan, dtype=np.float16), "finite numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(vector, said):
    """Past the shapes that the tests check at each call, as a notebook meets it."""
    with pytest.raises(StoreError, match=said):
        getattr(pack, "__wrapped__", pack)(vector)
    assert len(pack(np.zeros((65_535, 0), dtype=np.float16))) == 4


@pytest.mark.parametrize("features", [0, -1, 12.5])
def test_widths_that_make_no_row_are_refused(features):
    with pytest.raises(StoreError, match=f"features: expected a whole number, at least one, got {features}"):
        getattr(hashed_trigrams, "__wrapped__", hashed_trigrams)({}, features=features)
