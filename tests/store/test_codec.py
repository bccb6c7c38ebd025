"""Items survive the way to bytes and back; damage is noticed; short forms bound an item's size."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.store.codec import decode, encode
from echobook.store.errors import StoreError
from echobook.store.items import item_size

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
VALUES = st.one_of(
    st.text(max_size=20),
    st.integers(-(10**30), 10**30),
    st.sampled_from([sign * 2**63 + step for sign in (-1, 1) for step in (-1, 0, 1)]),
    st.binary(max_size=40),
    st.frozensets(st.text(min_size=1, max_size=4), min_size=1, max_size=4),
)
ITEMS = st.dictionaries(NAMES, VALUES, max_size=6)


@settings(deadline=None)
@given(ITEMS)
def test_round_trip(item):
    assert decode(encode(item)) == item


@settings(deadline=None)
@given(ITEMS)
def test_the_form_is_canonical_and_never_shorter_than_the_size(item):
    """The embedded store takes units from the length of short forms; this is what allows it."""
    assert encode(dict(reversed(item.items()))) == encode(item)
    assert len(encode(item)) >= item_size(item)


@settings(deadline=None)
@given(ITEMS, st.data())
def test_a_cut_form_is_refused(item, data):
    whole = encode(item)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(StoreError, match="damaged"):
        decode(cut)


def test_literal():
    header = b'{"a":["s","x","y"],"b":{"b":2},"n":3}'
    expected = len(header).to_bytes(4, "big") + header + b"\x01\x02"
    assert encode({"n": 3, "b": b"\x01\x02", "a": frozenset({"y", "x"})}) == expected


def test_numbers_beyond_64_bits_are_kept_as_digits():
    """A reader of JSON may turn such a number into a float."""
    for number in (2**63, -(2**63) - 1, 10**36):
        header = b'{"n":{"n":"%d"}}' % number
        assert encode({"n": number}) == len(header).to_bytes(4, "big") + header
        assert decode(encode({"n": number})) == {"n": number}
    assert b'{"n":9223372036854775807}' in encode({"n": 2**63 - 1})
