"""What a set of events means, whatever order it came in."""

import itertools

import pytest

from echobook.store.deciding import ENTRIES
from echobook.store.errors import StoreError
from echobook.store.events import Code, Event, complete, kinds, state
from echobook.store.memory import MemoryStore
from echobook.store.port import Change

REFS = frozenset({"i#utterance#0", "i#reply#0"})


def image(*found, refs=REFS):
    return {"ev": frozenset(map(str, found)), "refs": refs}


def test_complete_needs_the_microphone_and_both_texts():
    assert complete(image(Code.EXPECT))
    assert not complete(image(Code.SPEAK))
    assert not complete(image(Code.EXPECT, refs=frozenset({"i#utterance#0", "i#contacts#0"})))
    assert not complete(None)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((), "new"),
        ((Code.REQUEST,), "new"),
        ((Code.REQUEST, Code.HEARD), "heard"),
        ((Code.HEARD, Code.SPEAK), "answering"),
        ((Code.SPEAK, Code.CLOSED), "closed"),
        ((Code.SPEAK, Code.EXPECT), "armed"),
        ((Code.EXPECT, Code.EMBEDDING), "embedding"),
        ((Code.EXPECT, Code.EMBEDDING, Code.EMBEDDED), "ready"),
        ((Code.EMBEDDED, Code.NEXT), "used"),
        ((Code.EXPECT, Code.NEXT), "late"),
    ],
)
def test_states(found, expected):
    assert state(image(*found)) == expected


def test_order_and_repetition_leave_no_trace():
    events = ["REQ", "ASR", "SPEAK", "EXPECT"]
    ends = []
    for order in itertools.permutations(events):
        store = MemoryStore()
        for code in [*order, order[0]]:
            end = store.update(ENTRIES, ENTRIES.key("i"), Change(add={"ev": frozenset({code})}))
        ends.append(end)
    assert all(end == ends[0] for end in ends)


def test_references_and_refusals():
    event = Event("i1", Code.HEARD, 0.0, "utterance", b"call meg", 2)
    assert (event.part, event.reference) == ("utterance#2", "i1#utterance#2")
    assert kinds([event.reference]) == {"utterance"}
    for bad in ({"interaction": ""}, {"interaction": "a#b"}):
        with pytest.raises(StoreError, match="without '#'"):
            Event(**bad, code=Code.REQUEST)
    with pytest.raises(StoreError, match="kind and text go together"):
        Event("i", Code.HEARD, kind="utterance")
    with pytest.raises(StoreError, match="kind without '#'"):
        Event("i", Code.HEARD, kind="a#b", text=b"")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("expect", "", None), "i: code 'expect': expected a Code, one of REQUEST, HEARD,"),
        ((Code.HEARD, "contact", b"x"), "kind 'contact': expected one of contacts, devices"),
        ((Code.HEARD, "reply", "x"), r"i#reply#0: text: expected bytes, got str; try text.encode"),
    ],
)
def test_unknown_codes_and_kinds_and_unencoded_text_are_named(given, said):
    """Past the types that the tests check at each call, as a notebook meets it."""
    event = object.__new__(Event)
    for name, value in zip(("interaction", "code", "kind", "text", "number"), ("i", *given, 0), strict=True):
        object.__setattr__(event, name, value)
    with pytest.raises(StoreError, match=said):
        event.__post_init__()
