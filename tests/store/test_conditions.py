"""What conditions mean, and that their expressions say the same to a server."""

import pytest

from echobook.store.conditions import Absent, AllOf, AnyOf, Below, Equals, Not, holds

ITEM = {"n": 3, "s": "x", "w": frozenset({"a"})}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (None, True),
        (Absent("n"), False),
        (Absent("m"), True),
        (Equals("n", 3), True),
        (Equals("n", "3"), False),
        (Equals("m", 3), False),
        (Equals("w", frozenset({"a"})), True),
        (Below("n", 4), True),
        (Below("n", 3), False),
        (Below("s", 4), False),
        (Below("m", 4), False),
        (Not(Below("n", 4)), False),
        (Not(Below("n", 3)), True),
        (Not(Below("s", 4)), True),
        (Not(Below("m", 4)), True),
        (Not(Not(Absent("n"))), False),
        (Not(AnyOf((Absent("n"), Equals("s", "y")))), True),
        (AllOf((Below("n", 4), Absent("m"))), True),
        (AllOf((Below("n", 4), Absent("n"))), False),
        (AnyOf((Absent("n"), Equals("s", "x"))), True),
        (AnyOf((Absent("n"), Equals("s", "y"))), False),
    ],
)
def test_meaning(condition, expected):
    assert holds(condition, ITEM) is expected


def test_no_item_is_an_empty_one():
    assert holds(Absent("x"), None)
    assert not holds(Equals("x", 1), None)
    assert holds(Not(Below("x", 1)), None)


@pytest.mark.parametrize("backend", ["dynalite", "moto"])
def test_a_negation_holds_for_an_item_that_is_not_there(backend, open_store):
    """What the write of every event relies on: a new entry is not expired."""
    from echobook.store.deciding import ENTRIES
    from echobook.store.errors import ConditionFailed
    from echobook.store.port import Change

    store, key, change = open_store(backend), ENTRIES.key("new"), Change(set={"seen": 1})
    with pytest.raises(ConditionFailed):
        store.update(ENTRIES, key, change, condition=Below("ttl", 5))
    assert store.update(ENTRIES, key, change, condition=Not(Below("ttl", 5))) == {**key, "seen": 1}


@pytest.mark.parametrize("backend", ["dynalite", "moto"])
@pytest.mark.parametrize(
    "condition",
    [
        Absent("n"),
        Absent("m"),
        Equals("n", 3),
        Below("n", 4),
        Below("n", 3),
        Below("m", 4),
        Not(Below("n", 4)),
        Not(Below("n", 3)),
        Not(Below("m", 4)),
        Not(Not(Absent("n"))),
        Not(AllOf((Below("n", 4), Absent("n")))),
        AllOf((Below("n", 4), AnyOf((Absent("m"), Equals("n", 9))))),
        AllOf((AllOf((Not(Below("n", 4)),)), AnyOf((Absent("m"),)))),
        AnyOf((Absent("n"), Equals("s", "y"))),
        AnyOf((AllOf((Absent("m"), Not(Below("m", 4)))), Absent("n"))),
    ],
    ids=str,
)
def test_servers_agree(backend, condition, open_store):
    from echobook.store.deciding import ENTRIES
    from echobook.store.errors import ConditionFailed
    from echobook.store.port import Change

    store = open_store(backend)
    key = ENTRIES.key("i")
    store.put(ENTRIES, {**key, **ITEM})
    try:
        store.update(ENTRIES, key, Change(set={"seen": 1}), condition=condition)
        passed = True
    except ConditionFailed:
        passed = False
    assert passed is holds(condition, ITEM)
