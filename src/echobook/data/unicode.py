"""One spelling for text that looks the same: Unicode's canonical composition (NFC).

Many letters have two spellings in Unicode: 'é' is one code point, or an 'e' and a combining accent. They look
alike and compare as different. Wherever this project compares texts (error counts, joins by question, names,
rewrites, slot values, labels) both sides are composed first. Nothing else changes: compatibility forms such
as 'ﬁ' or full-width letters stay what they are, because they do not look the same.
"""

import unicodedata


def nfc(text: str) -> str:
    """Compose a text: letter and combining marks become one code point where Unicode has one. Idempotent."""
    return unicodedata.normalize("NFC", text)
