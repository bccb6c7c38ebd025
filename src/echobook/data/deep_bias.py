"""References with biasing lists, hypotheses and published scores of trie-based deep biasing (MIT).

The files go with Le et al. 2021 (arXiv 2104.02194): LibriSpeech test-clean, each reference with its rare
words and 100 random other rare words, what three systems recognised, and the rates their scorer gave.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from echobook.data.registry import public_use
from echobook.data.text_files import MalformedRow, read_lines
from echobook.data.types import DatasetUse
from echobook.data.unicode import nfc

REFERENCES = "test-clean.biasing_100.tsv"
SYSTEMS = {
    "no biasing": "test-clean.b2.b1+nnlm.tsv",
    "trie biasing": "test-clean.s1.b1+db-rnnt.biasing_100.tsv",
    "shallow fusion": "test-clean.s2.b1+wfst.biasing_100.tsv",
}
COMMON_WORDS = "common_words_5k.txt"
_SCORE = re.compile(
    r"(U-WER|B-WER|WER): error_rate=([\d.]+), ref_words=(\d+), subs=(\d+), ins=(\d+), dels=(\d+)"
)


class Reference(NamedTuple):
    """What was said, its rare words, and rare words that were not said."""

    text: str
    biased: frozenset[str]
    distractors: tuple[str, ...]


class PublishedScore(NamedTuple):
    """One line of a published result: error rate in per cent, reference words, S, I, D."""

    rate: float
    words: int
    substitutions: int
    insertions: int
    deletions: int


@dataclass(frozen=True)
class DeepBias:
    """References and hypotheses by utterance, and the published scores by system and by WER, U-WER, B-WER."""

    references: Mapping[str, Reference]
    hypotheses: Mapping[str, Mapping[str, str]]
    published: Mapping[str, Mapping[str, PublishedScore]]
    use: DatasetUse


def load_deep_bias(folder: Path) -> DeepBias:
    """Read references, hypotheses and published scores from a verified folder.

    Raises MalformedRow naming file and line, and ValueError naming the first utterance that a system lacks.
    """
    references = read_references(folder / REFERENCES)
    hypotheses = {name: read_hypotheses(folder / file) for name, file in SYSTEMS.items()}
    for name, found in hypotheses.items():
        if missing := sorted(set(references) - set(found)):
            raise ValueError(f"{SYSTEMS[name]}: no hypothesis for utterance {missing[0]}")
    published = {name: read_scores(folder / f"{file}.result") for name, file in SYSTEMS.items()}
    files = [REFERENCES, *SYSTEMS.values(), *(f"{file}.result" for file in SYSTEMS.values())]
    use = public_use("fbai_deep_bias", {"test-clean": len(references)}, files)
    return DeepBias(references, hypotheses, published, use)


def read_references(path: Path) -> dict[str, Reference]:
    """Lines utterance, text, rare words (JSON list), other words (JSON list), separated by tabs."""
    found = {}
    for number, line in read_lines(path):
        parts = line.split("\t")
        try:
            name, text, biased, others = parts
            found[name] = Reference(
                text, frozenset(map(nfc, json.loads(biased))), tuple(map(nfc, json.loads(others)))
            )
        except (ValueError, TypeError) as error:
            raise MalformedRow(path, number, "utterance, text and two JSON lists", line) from error
    return found


def read_hypotheses(path: Path) -> dict[str, str]:
    """Lines utterance, text; a line without text is an empty hypothesis."""
    found = {}
    for number, line in read_lines(path):
        name, _, text = line.partition("\t")
        if not name.strip() or "\t" in text:
            raise MalformedRow(path, number, "utterance<TAB>text", line)
        found[name.strip()] = text.strip()
    return found


def read_scores(path: Path) -> dict[str, PublishedScore]:
    """The three lines WER, U-WER and B-WER of a result file."""
    found = {}
    for number, line in read_lines(path):
        match = _SCORE.fullmatch(line.strip())
        if match is None and line.strip():
            raise MalformedRow(path, number, "WER: error_rate=..., ref_words=..., subs=...", line)
        if match is not None:
            found[match[1]] = PublishedScore(float(match[2]), *(int(match[k]) for k in range(3, 7)))
    if set(found) != {"WER", "U-WER", "B-WER"}:
        raise MalformedRow(path, 1, "the lines WER, U-WER and B-WER", sorted(found))
    return found


def read_common_words(folder: Path) -> tuple[str, ...]:
    """The 5,000 commonest words of LibriSpeech's training text, commonest first, as the file has them."""
    return tuple(line.strip() for _, line in read_lines(folder / COMMON_WORDS) if line.strip())
