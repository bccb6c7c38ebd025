"""Sealed values open under their own reference and key, and under nothing else."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.store.errors import SealBroken, StoreError
from echobook.store.sealing import KeyRing, seal, sealed_size, unseal

KEY = bytes(range(32))
RING = KeyRing({"k1": KEY})


def test_literal_layout():
    """Version, length and name of the key, nonce, then AES-GCM with head and reference beside it."""
    nonce = bytes(12)
    sealed = seal(b"meg bauer", "i1#utterance#0", RING, nonce=lambda: nonce)
    head = b"\x01\x02k1"
    expected = head + nonce + AESGCM(KEY).encrypt(nonce, b"meg bauer", head + b"i1#utterance#0")
    assert sealed == expected
    assert len(sealed) == sealed_size(9)


@settings(deadline=None)
@given(st.binary(max_size=200), st.text(min_size=1, max_size=20))
def test_round_trip(plaintext, reference):
    assert unseal(seal(plaintext, reference, RING), reference, RING) == plaintext


@settings(deadline=None, max_examples=60)
@given(st.binary(min_size=1, max_size=30), st.data())
def test_any_changed_bit_breaks_the_seal(plaintext, data):
    sealed = bytearray(seal(plaintext, "ref", RING))
    at = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[at // 8] ^= 1 << at % 8
    with pytest.raises(SealBroken):
        unseal(bytes(sealed), "ref", RING)


@pytest.mark.parametrize("cut", [0, 1, 3, 20, 31])
def test_short_values_are_refused(cut):
    with pytest.raises(SealBroken):
        unseal(seal(b"", "ref", RING)[:cut], "ref", RING)


def test_another_reference_or_key_does_not_open():
    sealed = seal(b"text", "i1#reply#0", RING)
    with pytest.raises(SealBroken, match="i2#reply#0: the seal is broken"):
        unseal(sealed, "i2#reply#0", RING)
    with pytest.raises(SealBroken):
        unseal(sealed, "i1#reply#0", KeyRing({"k1": bytes(32)}))


def test_rotation():
    ring = KeyRing.generate()
    old = seal(b"old", "r", ring)
    assert ring.rotate() == "k2"
    new = seal(b"new", "r", ring)
    assert (unseal(old, "r", ring), unseal(new, "r", ring)) == (b"old", b"new")
    ring.forget("k1")
    with pytest.raises(SealBroken, match="sealed with key 'k1', which this provider does not hold"):
        unseal(old, "r", ring)
    with pytest.raises(StoreError, match="rotate before forgetting"):
        ring.forget("k2")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("k1",), ["k2", "k3"]),
        (("k2",), ["k3", "k4"]),
        (("k3", "a"), ["k4", "k5"]),
        (("a", "k4"), ["k3", "k5"]),
    ],
)
def test_rotation_never_takes_the_name_of_a_key_that_is_held(names, expected):
    """What each key sealed still opens after every rotation, whatever the keys were called."""
    ring, sealed = KeyRing({name: bytes([at]) * 32 for at, name in enumerate(names)}), []
    for name in [*expected, None]:
        sealed.append(seal(b"text", "r", ring))
        if name is not None:
            assert ring.rotate() == name
    assert [unseal(one, "r", ring) for one in sealed] == [b"text"] * 3
    assert repr(ring) == f"KeyRing({', '.join([*names, *expected])})"


def test_a_forgotten_name_is_not_used_again():
    ring = KeyRing({"k3": KEY, "a": KEY})
    ring.forget("k3")
    assert "k3" not in {ring.rotate() for _ in range(4)}


def test_nonces_are_fresh():
    assert len({seal(b"same", "r", RING)[4:16] for _ in range(200)}) == 200


def test_keys_show_nowhere():
    sealed = seal(b"secret words", "r", RING)
    texts = [repr(RING), str(RING), f"{RING.current()!r}"]
    for wrong in ("other", "r"):
        try:
            unseal(sealed[:-1] + b"x", wrong, RING)
        except SealBroken as error:
            texts += [str(error), repr(error.__cause__), repr(error.__context__)]
    for text in texts:
        assert KEY.hex() not in text
        assert repr(KEY)[2:20] not in text
        assert "secret words" not in text
    assert KEY not in sealed


@pytest.mark.parametrize("keys", [{}, {"k": b"short"}, {"": bytes(32)}])
def test_bad_rings_are_refused(keys):
    with pytest.raises(StoreError, match="at least one named key of 32 bytes"):
        KeyRing(keys)
