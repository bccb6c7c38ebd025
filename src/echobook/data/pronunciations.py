"""Pronunciations of the CMU dictionary (BSD-style licence): one per word, stress removed.

Only the first pronunciation of a word is kept and the others are counted; remarks behind `#` are dropped.
Words are lower case; the 39 phonemes are ARPAbet letters such as `AW`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from echobook.data.registry import public_use
from echobook.data.text_files import MalformedRow, read_lines
from echobook.data.types import DatasetUse

FILE = "cmudict.dict"
_ENTRY = re.compile(r"(\S+?)(\(\d+\))?((?: [A-Z]+[0-2]?)+)")


@dataclass(frozen=True)
class Pronunciations:
    """Phonemes by word, how many variants were dropped, and the data set."""

    words: dict[str, tuple[str, ...]]
    variants: int
    use: DatasetUse


def load_pronunciations(folder: Path) -> Pronunciations:
    """Read the dictionary from a verified folder. Raises MalformedRow naming file and line."""
    words, variants = read_dictionary(folder / FILE)
    return Pronunciations(words, variants, public_use("cmudict", {"words": len(words)}, [FILE]))


def read_dictionary(path: Path) -> tuple[dict[str, tuple[str, ...]], int]:
    """Phonemes by word, and the number of further variants."""
    words: dict[str, tuple[str, ...]] = {}
    variants = 0
    for number, line in read_lines(path):
        match = _ENTRY.fullmatch(line.partition("#")[0].strip())
        if match is None:
            raise MalformedRow(path, number, "'word P1 P2 ...'", line)
        if match[2] or match[1] in words:
            variants += 1
            continue
        words[match[1]] = tuple(phone.rstrip("012") for phone in match[3].split())
    return words, variants
