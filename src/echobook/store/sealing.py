"""Sealing of private text: AES-256-GCM, one nonce an item, the item's reference as associated data.

Layout of a sealed value: one byte version, one byte length of the key's name, the name, twelve bytes nonce,
ciphertext with its sixteen-byte tag. Version, name and reference are authenticated, so a value cannot be
altered, moved to another reference, or passed off as sealed with another key. Key names are public; keys are
held by a provider and appear in no table, log, error or representation.

Numbers: random nonces of 96 bits are safe for 2^32 items a key (NIST SP 800-38D, 8.3); rotate long before.
"""

import itertools
import os
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from echobook.store.errors import SealBroken, StoreError

_VERSION = 1
_NONCE = 12
_TAG = 16


@runtime_checkable
class KeyProvider(Protocol):
    """Where keys come from: a key service, a file, or `KeyRing`."""

    def current(self) -> tuple[str, AESGCM]:
        """Return the name and cipher of the key to seal with."""

    def cipher(self, name: str) -> AESGCM:
        """Return the cipher of a named key. Raises SealBroken for an unknown one."""


class KeyRing:
    """Keys in memory: seals with the newest, opens with any that was not forgotten."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """`keys`: name -> 32 bytes, the current one last. Raises StoreError for another length or no key."""
        if not keys or any(len(key) != 32 or not 0 < len(name.encode()) < 256 for name, key in keys.items()):
            raise StoreError("a key ring needs at least one named key of 32 bytes")
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}
        self._named = set(keys)  # also of keys that were forgotten: a name never stands for two keys

    @classmethod
    def generate(cls) -> "KeyRing":
        """Return a ring with one fresh key, named k1."""
        return cls({"k1": os.urandom(32)})

    def rotate(self) -> str:
        """Add a fresh key, seal with it from now on, and return its name. Older ones still open.

        The name is the first of k1, k2, ... from the number of names on that no key of this ring had.
        """
        numbers = itertools.count(len(self._named) + 1)
        name = next(name for number in numbers if (name := f"k{number}") not in self._named)
        self._named.add(name)
        self._ciphers[name] = AESGCM(os.urandom(32))
        return name

    def forget(self, name: str) -> None:
        """Drop a key: what it sealed can never be opened again. Raises StoreError for the current one."""
        if name == self.current()[0]:
            raise StoreError(f"key {name!r} is the current one; rotate before forgetting it")
        self._ciphers.pop(name, None)

    def current(self) -> tuple[str, AESGCM]:
        """See KeyProvider."""
        return next(reversed(self._ciphers.items()))

    def cipher(self, name: str) -> AESGCM:
        """See KeyProvider."""
        try:
            return self._ciphers[name]
        except KeyError:
            raise SealBroken(f"sealed with key {name!r}, which this provider does not hold") from None

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._ciphers)})"


def _nonce() -> bytes:
    return os.urandom(_NONCE)


def seal(
    plaintext: bytes, reference: str, keys: KeyProvider, *, nonce: Callable[[], bytes] = _nonce
) -> bytes:
    """Seal bytes under a reference with the provider's current key.

    `nonce`: source of twelve fresh bytes; never repeat one under the same key.
    """
    name, cipher = keys.current()
    head = bytes((_VERSION, len(name.encode()))) + name.encode()
    fresh = nonce()
    return head + fresh + cipher.encrypt(fresh, plaintext, head + reference.encode())


def unseal(sealed: bytes, reference: str, keys: KeyProvider) -> bytes:
    """Open what `seal` made under the same reference. Raises SealBroken for anything else."""
    head = sealed[: 2 + sealed[1]] if len(sealed) >= 2 else b""
    body = sealed[len(head) :]
    if not head or head[0] != _VERSION or len(body) < _NONCE + _TAG:
        raise SealBroken(f"{reference}: not a sealed value")
    try:
        cipher = keys.cipher(head[2:].decode(errors="replace"))
        return cipher.decrypt(body[:_NONCE], body[_NONCE:], head + reference.encode())
    except InvalidTag:
        raise SealBroken(
            f"{reference}: the seal is broken (altered, moved, or sealed with another key)"
        ) from None


def sealed_size(plaintext: int, key_name: str = "k1") -> int:
    """Bytes of a sealed value for a plaintext of so many bytes."""
    return 2 + len(key_name.encode()) + _NONCE + plaintext + _TAG
