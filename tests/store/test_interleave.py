"""The safety property: over random interleavings no trigger is missed and none doubled."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from echobook.papers.context_store.experiment import VARIANTS, race, rates
from echobook.store.deciding import ENTRIES, TEXTS
from echobook.store.events import Code, Event, references
from echobook.store.interleave import Ticks, interleave, wanted
from echobook.store.memory import MemoryStore
from echobook.store.protocol import TwoTables
from echobook.store.sealing import KeyRing
from echobook.store.sweeping import recover

KEYS = KeyRing.generate()
EVENTS = (
    Event("i", Code.REQUEST),
    Event("i", Code.HEARD, 0.0, "utterance", b"a"),
    Event("i", Code.CONTEXT, 0.0, "contacts", b"b"),
    Event("i", Code.SPEAK, 0.0, "reply", b"c"),
    Event("i", Code.EXPECT),
)


@pytest.mark.slow
def test_a_thousand_interleavings_with_returned_images():
    """The types of every argument are checked here, so only a tenth as many as the recorded runs have."""
    counted = rates(race(VARIANTS["returned"], runs=1_000, seed=11))
    assert counted["runs"] >= 990
    assert counted["wanted"] > 600
    assert (counted["missed"], counted["doubled"]) == (0, 0)
    assert counted["ready"] == counted["wanted"]


def test_strong_reads_are_safe_and_eventual_reads_are_not():
    assert rates(race(VARIANTS["strong-read"], runs=150, seed=1))["missed"] == 0
    assert rates(race(VARIANTS["eventual-read"], runs=150, seed=1))["missed"] > 0


def test_without_the_claim_triggers_are_doubled():
    counted = rates(race(VARIANTS["returned-no-claim"], runs=150, seed=1))
    assert (counted["missed"], counted["doubled"] > 0) == (0, True)


def test_deaths_delay_but_lose_nothing():
    counted = rates(race(VARIANTS["returned"], runs=150, seed=2, kill=0.15))
    assert counted["kills"] > 150
    assert counted["ready"] == counted["wanted"]


def test_the_same_seed_gives_the_same_outcomes():
    first, second = (race(VARIANTS["eventual-read"], runs=50, seed=3) for _ in range(2))
    assert first == second


def test_what_is_wanted():
    assert wanted(EVENTS)
    assert not wanted(EVENTS[:4])
    assert not wanted([event for event in EVENTS if event.kind != "reply"])


def test_a_missed_and_a_doubled_outcome_are_counted_as_such():
    class Forgetful(TwoTables):
        def due(self, image):
            return False

    class Eager(TwoTables):
        def due(self, image):
            return True

    for kind, missed, doubled in ((Forgetful, True, False), (Eager, False, True)):
        outcomes = []
        for seed in range(30):
            store = MemoryStore()

            def make(clock, embed, name, kind=kind, store=store):
                return kind(store, KEYS, clock, embed, name, claims=False)

            rng = np.random.default_rng(seed)
            outcomes.append(interleave(make, [*EVENTS, *EVENTS[-1:] * 3], rng))
        assert all(one.missed for one in outcomes) is missed
        assert any(one.doubled for one in outcomes) is doubled


class Workers(RuleBasedStateMachine):
    """Hypothesis drives workers call by call: new deliveries, steps, deaths, time, sweeping recovery."""

    @initialize()
    def begin(self):
        self.clock, self.store, self.made = Ticks(), MemoryStore(), 0
        self.running, self.delivered, self.killed = [], set(), False
        self.count = 0

    def embed(self, texts):
        self.made += 1
        return b"v"

    def design(self):
        self.count += 1
        return TwoTables(self.store, KEYS, self.clock, self.embed, f"w{self.count}")

    @rule(at=st.integers(0, len(EVENTS) - 1))
    def deliver(self, at):
        self.delivered.add(at)
        self.running.append((at, self.design().steps(EVENTS[at])))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def step(self, data):
        at = data.draw(st.integers(0, len(self.running) - 1))
        self.clock.now += 0.001
        if next(self.running[at][1], None) is None:
            del self.running[at]

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def kill(self, data):
        event, steps = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        steps.close()
        self.killed = True
        self.running.append((event, self.design().steps(EVENTS[event])))

    @rule(seconds=st.sampled_from([0.1, 3.0, 6.0]))
    def wait(self, seconds):
        self.clock.now += seconds

    @invariant()
    def no_reference_dangles(self):
        kept = {"#".join(TEXTS.identity(item)) for item in self.store.scan(TEXTS)}
        assert all(references(image) <= kept for image in self.store.scan(ENTRIES))

    @invariant()
    def nothing_is_embedded_unasked(self):
        if not wanted([EVENTS[at] for at in self.delivered]):
            assert self.made == 0

    def teardown(self):
        if not hasattr(self, "running"):
            return
        started = self.clock.now
        while self.running:
            if next(self.running[0][1], None) is None:
                del self.running[0]
        asked = wanted([EVENTS[at] for at in self.delivered])
        self.clock.now += 10
        recover(self.design())
        ready = self.design().read("i") is not None
        assert ready == asked, "a wanted vector is missing, or one came unasked"
        if not self.killed and started < 1_000_005:  # nobody died, and no lease ran out
            assert self.made == asked


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
