"""Errors of the context store. No message holds a key, a plaintext or a ciphertext."""


class StoreError(Exception):
    """Anything the store refuses or fails to do; the message names table, key, expected and actual."""


class ConditionFailed(StoreError):
    """A conditional write found its condition false; nothing was written."""


class ItemTooLarge(StoreError):
    """The item would pass the size limit; nothing was written."""


class Throttled(StoreError):
    """The server asks to slow down; the call may be repeated after a pause."""


class StoreFull(StoreError):
    """The disk is full; nothing of the call was written, and what was there before is intact."""


class Unsupported(StoreError):
    """This back-end lacks the operation."""


class SealBroken(StoreError):
    """A sealed item does not open: altered, moved to another reference, or sealed with an unknown key."""
