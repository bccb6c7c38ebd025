"""Windows and hits worked by hand; costs by formula; what faults leave; where interleavings go wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.papers.context_store import timing
from echobook.papers.context_store.experiment import VARIANTS, Cost, age, cost_of, race, rates, setting
from echobook.papers.context_store.faults import (
    MAY_LACK_THE_LIST,
    SCENARIOS,
    SURVIVED,
    FaultCount,
    Scene,
    count_faults,
    expected_vectors,
)
from echobook.papers.context_store.material import PAUSE_S, SECONDS_A_WORD, interactions
from echobook.papers.context_store.nonsense import NonsenseClient
from echobook.papers.context_store.timing import CALLS, latencies, simulate
from echobook.store.deciding import ENTRIES, VECTORS
from echobook.store.dynamodb import DynamoStore
from echobook.store.errors import StoreError
from echobook.store.events import Code
from echobook.store.interleave import Outcome
from echobook.store.port import Change
from echobook.store.protocol import TwoTables
from echobook.store.vectors import hashed_trigrams

STREAM = interactions(seed=3, count=80, follow_ups=0.5)


def test_a_window_is_the_spoken_reply_and_the_reaction():
    """Reply of n words: 0.38 n + 0.3 s from its event on, then 0.2 to 1.0 s of reaction."""
    for one in STREAM:
        reply = next(event for event in one.events if event.kind == "reply")
        assert one.reply_s == pytest.approx(SECONDS_A_WORD * len(reply.text.split()) + PAUSE_S)
        reaction = one.next_at - reply.at - one.reply_s
        assert (0.2 <= reaction <= 1.0) if one.follow_up else reaction == pytest.approx(0)
    assert (SECONDS_A_WORD, PAUSE_S) == (0.38, 0.3)


def test_the_shortest_reply_of_a_follow_up_by_hand():
    """The shortest question is "x or y", three words: 1.44 s, and with the reaction at least 1.64 s."""
    found = simulate(seed=3, count=400, embed_s=0.05, follow_ups=0.5)
    assert min(found.windows) >= 3 * 0.38 + 0.3 + 0.2 - 0.002 - 1e-6
    assert min(found.windows) < 1.75


def test_with_fixed_latencies_a_follow_up_is_a_hit_exactly_when_its_window_is_long_enough(monkeypatch):
    """Steps of fixed length: write 10 ms, renew and fetch 5, embed 2 s, publish 10; no queue for embedders.

    The events arrive up to 20 ms late, and the read itself takes 5 of its 50 ms.
    """
    fixed = {"write": 0.01, "renew": 0.005, "fetch": 0.005, "embed": 2.0, "publish": 0.01, "read": 0.005}
    monkeypatch.setattr(timing, "latencies", lambda rng, embed_s: fixed.__getitem__)
    found = simulate(seed=3, count=80, embed_s=2.0, follow_ups=0.5, rate=1.0, embedders=80)
    needed = 0.01 + 0.005 + 0.005 + 2.0 + 0.01
    clear = [(hit, window) for hit, window in zip(found.hits, found.windows, strict=True)]
    assert all(hit for hit, window in clear if window > needed + 0.03)
    assert not any(hit for hit, window in clear if window < needed - 0.03)
    assert {hit for hit, _ in clear} == {True, False}


def test_latencies_are_log_normal_sums_of_their_calls():
    rng = np.random.default_rng(0)
    draw = latencies(rng, embed_s=0.2, call_s=0.004, spread=0.4)
    for verb, median, calls in (("embed", 0.2, 1), ("write", 0.004, 2), ("read", 0.004, 1)):
        drawn = np.array([draw(verb) for _ in range(4000)])
        assert CALLS.get(verb, 1) == calls
        mean = calls * median * np.exp(0.4**2 / 2)
        error = 5 * calls**0.5 * median * np.exp(0.08) * np.sqrt(np.expm1(0.16)) / np.sqrt(4000)
        assert abs(drawn.mean() - mean) < error
        assert drawn.min() > 0


def test_a_deadline_below_a_call_gives_no_hit_a_long_one_waits_and_none_asks_once():
    assert simulate(seed=1, count=40, embed_s=0.05, follow_ups=0.5, deadline_s=1e-6).hit_rate == 0.0
    assert simulate(seed=1, count=40, embed_s=0.05, follow_ups=0.5, deadline_s=0.0).hit_rate == 1.0
    assert simulate(seed=1, count=40, embed_s=0.05, follow_ups=0.5, deadline_s=5.0).hit_rate == 1.0


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_embeddings_are_the_follow_ups_exactly(share):
    found = simulate(seed=2, count=60, embed_s=0.1, follow_ups=share)
    assert found.embeddings == len(found.hits) == len(found.windows)
    assert found.interactions == 60


def test_one_slow_embedder_is_late_and_loses_nothing():
    found = simulate(seed=2, count=40, embed_s=3.0, follow_ups=0.5, rate=20.0, embedders=1)
    assert found.hit_rate < 0.5
    assert found.embeddings == len(found.hits)


def test_embedding_early_embeds_every_interaction_and_waiting_only_the_follow_ups():
    waiting, early = (
        simulate(seed=2, count=60, embed_s=0.1, follow_ups=0.25, trigger_early=early)
        for early in (False, True)
    )
    assert early.embeddings == early.interactions == 60
    assert waiting.embeddings == len(waiting.hits) < 30
    assert early.hit_rate == waiting.hit_rate == 1.0
    assert (early.lost, waiting.lost) == (0, 0)


def test_short_queues_fill_hold_the_source_and_lose_nothing():
    found = simulate(seed=2, count=60, embed_s=3.0, follow_ups=0.5, rate=20.0, embedders=1, queue=4)
    roomy = simulate(seed=2, count=60, embed_s=3.0, follow_ups=0.5, rate=20.0, embedders=1)
    assert (found.longest_queue, found.longest_claims) == (4, 4)
    assert found.longest_wait_s > 20 > 1 > roomy.longest_wait_s
    assert found.embeddings == roomy.embeddings == len(found.hits)
    assert (found.lost, roomy.lost) == (0, 0)


def test_without_follow_ups_there_is_no_hit_rate():
    with pytest.raises(StoreError, match="none of 5 interactions was followed up; try more"):
        _ = simulate(seed=2, count=5, embed_s=0.1, follow_ups=0.0).hit_rate


def test_the_setting_of_the_races_is_said_from_the_code():
    assert setting() == (
        "80% of the interactions have a follow-up, 10% of the events are delivered twice and 2% not at all, "
        "a call takes 1 ms, and the replica lags by 20 ms in the mean"
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3000), st.floats(0, 1), st.integers(0, 50))
def test_costs_of_the_two_tables_by_formula(size, share, seed):
    """Five updates, three texts, and for a follow-up claim, vector and mark; three texts and a vector sealed.

    The entry and the short texts stay below a KiB; the list costs what its seal and names bring it to.
    """
    stream = interactions(seed=seed, count=12, follow_ups=share, context_bytes=size)
    cost, follow = cost_of("two-tables", stream), sum(one.follow_up for one in stream)
    lists = {-(-(size + 32 + 51 + len(one.name) + extra) // 1024) for one in stream for extra in (-6, 6)}
    if len(lists) == 1:
        assert cost.write_units * 12 == pytest.approx(12 * (5 + 2 + lists.pop()) + 3 * follow)
    assert cost.opens * 12 == pytest.approx(3 * follow)
    assert cost.seals * 12 == pytest.approx(3 * 12 + follow)
    assert cost.calls * 12 == pytest.approx(8 * 12 + 4 * follow)
    assert cost.embeddings * 12 == pytest.approx(follow)


def test_nothing_is_opened_without_follow_ups():
    cost = cost_of("two-tables", interactions(seed=0, count=20, follow_ups=0.0))
    assert (cost.opens, cost.embeddings, cost.read_units) == (0, 0, 0)
    assert isinstance(cost, Cost)


def test_the_right_vectors_are_of_all_texts_or_of_all_but_the_list():
    one = next(one for one in STREAM if one.follow_up)
    texts = {event.reference: event.text for event in one.events if event.text is not None}
    assert len(texts) == 3
    found = expected_vectors(one)
    assert hashed_trigrams(dict(sorted(texts.items()))) in found
    short = {ref: text for ref, text in sorted(texts.items()) if "utterance" in ref or "reply" in ref}
    assert found == {hashed_trigrams(dict(sorted(texts.items()))), hashed_trigrams(short)}
    assert expected_vectors(one, whole=True) == {hashed_trigrams(dict(sorted(texts.items())))}


def test_unknown_names_and_empty_streams_are_named():
    with pytest.raises(StoreError, match="fault 'x': expected one of no fault, "):
        count_faults("x", repetitions=1, seed=0)
    with pytest.raises(StoreError, match="design 'x': expected one of two-tables, "):
        cost_of("x", STREAM)
    with pytest.raises(StoreError, match="at least one interaction"):
        cost_of("two-tables", [])


def test_a_server_of_nonsense_is_met_with_each_of_its_answers():
    """Each answer is refused as the store's error, and a read of the recogniser then gives nothing."""
    for answer in NonsenseClient.ANSWERS:
        client = NonsenseClient(np.random.default_rng(0))
        client.ANSWERS = (answer,)
        with pytest.raises(StoreError):
            DynamoStore(client).get(VECTORS, VECTORS.key("i"))
    counted = count_faults("server answers nonsense", repetitions=30, seed=2)
    assert counted == FaultCount(nothing=30)


def test_faults_are_counted_as_what_they_are(monkeypatch):
    """A scenario that hands over another vector, one that raises, one that reads nothing."""

    def poisoned(scene: Scene):
        scene.play()
        scene.worker().put_vector(scene.interaction.name, b"something else")

    def raising(scene: Scene):
        raise StoreError("on purpose")

    def crashing(scene: Scene):
        """A recogniser's read that fails with anything but the store's errors, as a broken back-end would."""
        scene.store = None

    def without_the_list(scene: Scene):
        scene.play([event for event in scene.interaction.events if event.code != Code.CONTEXT])

    for scenario, expected in (
        (poisoned, FaultCount(wrong=3)),
        (raising, FaultCount(raised=3)),
        (crashing, FaultCount(raised=3)),
        (without_the_list, FaultCount(wrong=3)),
        (lambda scene: None, FaultCount(nothing=3)),
        (lambda scene: scene.play(), FaultCount(right=3)),
    ):
        monkeypatch.setitem(SCENARIOS, "test", scenario)
        assert count_faults("test", repetitions=3, seed=0) == expected
    monkeypatch.delitem(SCENARIOS, "test")
    assert set(SCENARIOS) >= SURVIVED >= MAY_LACK_THE_LIST


def test_what_is_old_cannot_be_read_and_what_is_young_can():
    left = age(count=24, seed=5, span_s=60)
    follow_ups = sum(
        one.follow_up for one in interactions(seed=5, count=24, follow_ups=0.5, context_bytes=100)[12:]
    )
    assert left.young_expected == left.young_readable == follow_ups
    assert left.old_readable == 0
    assert left.left_before == left.swept + left.delivered_late == left.swept + 6
    assert (left.left_after, left.revived) == (0, 0)


def test_an_entry_that_a_late_delivery_revives_is_counted(monkeypatch):
    """The entry written to as if it were alive: all old codes and references are back, and never swept."""

    def careless(self, interaction, adds, sets):
        change = Change(add=adds, set={**sets, "ttl": self.expiry()})
        return self.store.update(ENTRIES, ENTRIES.key(interaction), change)

    monkeypatch.setattr(TwoTables, "enter", careless)
    left = age(count=24, seed=5, span_s=60)
    assert left.revived > 6 * 6  # four other codes, three references, of follow-ups two codes more
    assert left.left_after == 6
    assert left.embedded_late < left.late_expected


def test_rates_by_hand():
    one = {"kills": 0, "calls": 9}
    outcomes = [
        Outcome(wanted=True, embeddings=1, ready=True, **one),
        Outcome(wanted=True, embeddings=0, ready=False, **one),  # missed
        Outcome(wanted=True, embeddings=2, ready=True, kills=2, calls=12),  # doubled
        Outcome(wanted=False, embeddings=0, ready=False, **one),
        Outcome(wanted=False, embeddings=1, ready=True, **one),  # doubled: nobody asked for it
    ]
    assert rates(outcomes) == {"runs": 5, "wanted": 3, "missed": 1, "doubled": 2, "ready": 3, "kills": 2}
    assert [one.missed for one in outcomes] == [False, True, False, False, False]


def test_any_lag_misses_and_none_does_not():
    missed = [
        rates(race(VARIANTS["eventual-read"], runs=80, seed=4, lag_s=lag))["missed"]
        for lag in (0.0, 0.005, 0.1)
    ]
    assert missed[0] == 0
    assert min(missed[1:]) > 0


def test_without_the_microphone_no_variant_embeds():
    for variant in VARIANTS.values():
        counted = rates(race(variant, runs=30, seed=6, follow_ups=0.0))
        assert (counted["wanted"], counted["doubled"], counted["ready"]) == (0, 0, 0)


def test_a_stream_has_the_events_that_the_claims_count():
    codes = [event.code for event in STREAM[0].events]
    assert codes[:4] == [Code.REQUEST, Code.HEARD, Code.CONTEXT, Code.SPEAK]
    assert {one.events[-1].code for one in STREAM if one.follow_up} == {Code.EXPECT}
    assert {one.events[-1].code for one in STREAM if not one.follow_up} == {Code.CLOSED}
