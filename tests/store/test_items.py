"""Sizes and capacity units against examples worked by hand, and every refusal."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.store.errors import ItemTooLarge, StoreError
from echobook.store.items import (
    LIMIT,
    Table,
    check_item,
    item_size,
    page_units,
    read_units,
    value_size,
    write_units,
)

TABLE = Table("things", "owner", "part")
PLAIN = Table("plain", "owner")


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("", 0),
        ("abc", 3),
        ("é", 2),
        (b"1234", 4),
        (frozenset({"a", "bcd"}), 4),
        (0, 1),
        (7, 2),
        (-7, 3),
        (10, 2),
        (12, 2),
        (123, 3),
        (1200, 2),
        (1_700_000_600, 5),
        (-120, 4),
    ],
)
def test_sizes_by_hand(value, size):
    """12 is one aligned pair and a byte; -120 is 1|20 in two pairs, a byte and a sign."""
    assert value_size(value) == size


def test_an_item_counts_names_and_values():
    assert item_size({"owner": "ab", "n": 5}) == 5 + 2 + 1 + 2


@pytest.mark.parametrize(("size", "units"), [(1, 1), (1024, 1), (1025, 2), (4096, 4), (4097, 5)])
def test_write_units_step_every_kib_on_the_larger_image(size, units):
    item = {"a": b"x" * (size - 1)}
    assert write_units(None, item) == units
    assert write_units(item, {"a": 1}) == units
    assert write_units({"a": 1}, item) == units


def test_a_write_of_nothing_costs_a_unit():
    assert write_units(None, None) == 1


@pytest.mark.parametrize(("size", "units"), [(1, 1), (4096, 1), (4097, 2)])
def test_read_units_step_every_four_kib(size, units):
    item = {"a": b"x" * (size - 1)}
    assert read_units(item, consistent=True) == units
    assert read_units(item, consistent=False) == units / 2


def test_missing_items_and_pages():
    assert read_units(None, consistent=False) == 0.5
    three = [{"a": b"x" * 2000}] * 3
    assert page_units(three, consistent=True) == 2  # 6003 bytes together
    assert page_units([], consistent=True) == 0


@settings(deadline=None)
@given(st.integers(-(10**36), 10**36))
def test_numbers_never_count_more_than_their_digits_and_three(number):
    assert 1 <= value_size(number) <= len(str(abs(number))) // 2 + 4


def test_keys():
    assert TABLE.key("a", "b") == {"owner": "a", "part": "b"}
    assert TABLE.identity({"owner": "a", "part": "b", "x": 1}) == ("a", "b")
    assert PLAIN.identity({"owner": "a"}) == ("a", "")
    with pytest.raises(StoreError, match="expected a key of owner, part, got 1 values"):
        TABLE.key("a")
    for bad in ({"owner": "a"}, {"owner": "a", "part": ""}, {"owner": "a", "part": 3}):
        with pytest.raises(StoreError, match="key attribute 'part': expected text"):
            TABLE.identity(bad)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"Bad": 1}, "attribute 'Bad': expected lower-case"),
        ({"x": 1.5}, "got float"),
        ({"x": True}, "got bool"),
        ({"x": 10**37}, "more than 37 digits"),
        ({"x": frozenset()}, "non-empty set"),
        ({"x": frozenset({""})}, "non-empty set of non-empty text"),
    ],
)
def test_what_cannot_be_stored_is_refused(item, said):
    with pytest.raises(StoreError, match=said):
        check_item(PLAIN, {"owner": "a", **item})


def test_the_size_limit_is_exact():
    room = LIMIT - item_size({"owner": "a", "x": b""})
    check_item(PLAIN, {"owner": "a", "x": bytes(room)})
    with pytest.raises(ItemTooLarge, match=f"item of {LIMIT + 1} bytes; expected at most {LIMIT}"):
        check_item(PLAIN, {"owner": "a", "x": bytes(room + 1)})
