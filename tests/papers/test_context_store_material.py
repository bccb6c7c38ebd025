"""Generated interactions: their form, shares, sizes, and what delivery does to them."""

import numpy as np
import pytest

from echobook.papers.context_store.material import (
    PAUSE_S,
    SECONDS_A_WORD,
    deliveries,
    interactions,
    interactions_use,
)
from echobook.store.events import Code
from echobook.store.interleave import wanted

STREAM = interactions(seed=0, count=400, follow_ups=0.3, context_bytes=333, rate=5.0)


def test_each_interaction_has_its_events_in_order():
    for one in STREAM:
        end = Code.EXPECT if one.follow_up else Code.CLOSED
        assert [event.code for event in one.events] == [
            Code.REQUEST,
            Code.HEARD,
            Code.CONTEXT,
            Code.SPEAK,
            end,
        ]
        times = [event.at for event in one.events]
        assert times == sorted(times)
        assert len(one.events[2].text) == 333
        words = one.events[3].text.decode().split()
        assert one.reply_s == pytest.approx(PAUSE_S + SECONDS_A_WORD * len(words))
        assert one.next_at - times[3] >= one.reply_s - 1e-9  # two float64 sums
        assert wanted(one.events) == one.follow_up


def test_shares_and_rate():
    share = np.mean([one.follow_up for one in STREAM])
    assert abs(share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 400)  # four standard errors
    span = STREAM[-1].events[0].at
    assert abs(400 / span - 5.0) < 1.0


def test_a_seed_repeats_and_another_differs():
    again = interactions(seed=0, count=400, follow_ups=0.3, context_bytes=333, rate=5.0)
    assert again == STREAM
    assert interactions(seed=1, count=5) != interactions(seed=2, count=5)


def test_the_control_has_no_follow_ups():
    assert not any(one.follow_up for one in interactions(seed=0, count=50, follow_ups=0.0))


def test_deliveries_copy_lose_and_mix():
    plain = deliveries(STREAM, seed=0, duplicates=0.0)
    assert len(plain) == 2000
    assert [at for at, _ in plain] == sorted(at for at, _ in plain)
    order = [event for _, event in plain]
    assert any(one.events[4] in order[: order.index(one.events[3])] for one in STREAM)  # neighbours swap
    assert len(deliveries(STREAM, seed=0, duplicates=0.5)) > 2700
    assert len(deliveries(STREAM, seed=0, duplicates=0.0, losses=0.5)) < 1300
    assert deliveries(STREAM, seed=3) == deliveries(STREAM, seed=3)


def test_use_names_counts_and_digest():
    used = interactions_use(STREAM, seed=0, name="a stream")
    assert used.rows == {"interactions": 400, "events": 2000, "follow-ups": sum(o.follow_up for o in STREAM)}
    assert used.sha256 == interactions_use(STREAM, seed=0, name="a stream").sha256
    assert used.sha256 != interactions_use(STREAM[1:], seed=0, name="a stream").sha256


@pytest.mark.parametrize(
    "bad", [{"follow_ups": 1.5}, {"count": 0}, {"context_bytes": 0}, {"rate": 0.0}, {"follow_ups": -0.1}]
)
def test_refusals(bad):
    with pytest.raises(ValueError, match="need follow_ups in"):
        interactions(**{"seed": 0, "count": 3, **bad})
