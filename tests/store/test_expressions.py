"""Expressions and wire form: literal, placeholders, and every condition as a server understands it."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.store.conditions import Absent, AllOf, AnyOf, Below, Equals, Not, holds
from echobook.store.errors import StoreError
from echobook.store.expressions import Expressions, from_wire, to_wire
from echobook.store.port import Change

NAMES = st.sampled_from(["n", "m", "status", "ttl"])  # status and ttl are reserved words of DynamoDB
VALUES = st.one_of(
    st.integers(-3, 3), st.sampled_from(["x", "y"]), st.just(frozenset({"a"})), st.just(b"\x00")
)
SIMPLE = st.one_of(
    st.builds(Absent, NAMES),
    st.builds(Equals, NAMES, VALUES),
    st.builds(Below, NAMES, st.integers(-3, 3)),
)
CONDITIONS = st.recursive(
    SIMPLE,
    lambda part: st.one_of(
        st.builds(Not, part),
        st.builds(AllOf, st.lists(part, min_size=1, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(part, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)
ITEMS = st.dictionaries(NAMES, VALUES, max_size=4)


def evaluated(text, names, values, item):
    """Evaluate an expression as a server would: a reading of the text alone, not of the condition."""
    wire = to_wire(item)
    python = re.sub(r"attribute_not_exists\((#\d+)\)", r"absent('\1')", text)
    python = re.sub(r"(#\d+) = (:\d+)", r"equals('\1', '\2')", python)
    python = re.sub(r"(#\d+) < (:\d+)", r"below('\1', '\2')", python)
    python = python.replace(" AND ", " and ").replace(" OR ", " or ").replace("NOT ", "not ")

    def below(name, value):
        held = wire.get(names[name], {})
        return "N" in held and int(held["N"]) < int(values[value]["N"])

    meaning = {
        "absent": lambda name: names[name] not in wire,
        "equals": lambda name, value: wire.get(names[name]) == values[value],
        "below": below,
    }
    return eval(python, {"__builtins__": {}}, meaning)


@settings(max_examples=200, deadline=None)
@given(CONDITIONS, ITEMS)
def test_an_expression_means_what_its_condition_does(condition, item):
    expressions = Expressions()
    text = expressions.condition(condition)
    arguments = expressions.arguments()
    names, values = arguments["ExpressionAttributeNames"], arguments.get("ExpressionAttributeValues", {})
    assert evaluated(text, names, values, item) == holds(condition, item)


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (Not(Below("ttl", 6)), "NOT #0 < :0"),
        (AllOf((Absent("a"), Not(Absent("b")))), "attribute_not_exists(#0) AND NOT attribute_not_exists(#1)"),
        (AllOf((AnyOf((Absent("a"), Absent("b"))), Below("c", 1))), "(A(#0) OR A(#1)) AND #2 < :0"),
        (AnyOf((AllOf((Absent("a"), Absent("b"))), Below("c", 1))), "A(#0) AND A(#1) OR #2 < :0"),
        (Not(AnyOf((Absent("a"), Absent("b")))), "NOT (A(#0) OR A(#1))"),
        (Not(Not(Absent("a"))), "NOT (NOT A(#0))"),
        (AllOf((AnyOf((AllOf((Absent("a"),)),)),)), "A(#0)"),
    ],
)
def test_parentheses_stand_only_where_the_meaning_needs_them(condition, text):
    """AND binds tighter than OR, NOT tighter than both; the service refuses pairs that change nothing."""
    assert Expressions().condition(condition) == text.replace("A(", "attribute_not_exists(")


@settings(deadline=None)
@given(CONDITIONS)
def test_no_pair_of_parentheses_is_doubled_or_holds_one_comparison_alone(condition):
    text = Expressions().condition(condition)
    bare = re.sub(r"attribute_not_exists\(#\d+\)", "X", text)
    assert "((" not in bare
    assert not re.search(r"\((X|#\d+ [=<] :\d+)\)", bare)


@settings(deadline=None)
@given(CONDITIONS)
def test_no_name_or_value_stands_in_the_text(condition):
    """Reserved words and hostile values cannot matter: the text holds placeholders only."""
    text = Expressions().condition(condition)
    assert set(re.findall(r"[A-Za-z_]+", text)) <= {"attribute_not_exists", "AND", "OR", "NOT"}


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), VALUES), st.data())
def test_placeholders_are_shared_for_names_and_fresh_for_values(sets, data):
    expressions = Expressions()
    marks = [expressions.name(name) for name in [*sets, *sets]]
    assert marks[: len(sets)] == marks[len(sets) :]
    values = [expressions.value(value) for value in sets.values()]
    assert len(set(values)) == len(values)


def test_a_change_literal_by_parts():
    parts = {"add": {"n": 1}, "set": {"s": "x"}, "remove": ("r",)}
    said = {"add": "ADD #0 :0", "set": "SET #0 = :0", "remove": "REMOVE #0"}
    for name, text in said.items():
        assert Expressions().change(Change(**{name: parts[name]})) == text
    for first, second in itertools.combinations(parts, 2):
        text = Expressions().change(Change(**{first: parts[first], second: parts[second]}))
        assert [word for word in text.split() if word.isupper()] == [first.upper(), second.upper()]
    two = Change(set={"a": 1, "b": 2}, remove=("c", "d"))
    assert Expressions().change(two) == "SET #0 = :0, #1 = :1 REMOVE #2, #3"


@settings(deadline=None)
@given(ITEMS)
def test_wire_form_and_back(item):
    assert from_wire(to_wire(item)) == item


@pytest.mark.parametrize("kind", ["BOOL", "NULL", "L", "M", "NS", "BS"])
def test_other_types_of_a_server_are_refused(kind):
    with pytest.raises(StoreError, match=f"attribute 'x' has type {kind}; expected S, N, B or SS"):
        from_wire({"x": {kind: []}})
