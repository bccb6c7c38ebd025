"""Utterances with an intent and slots: words, a BIO tag for each word, and the intent.

Preparation, the same for every corpus: labels cleaned to lower_snake_case; utterances with several intents
dropped; of utterances with equal words after lower-casing only the first is kept. What is dropped is
counted by reason. Where a source marks slots by characters, a slot that ends inside a word cuts the word
there, so that no slot is lost."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from echobook.data.fetch import fetch
from echobook.data.intent_sources import HWU64_FILE, CorpusError, snake_case
from echobook.data.intents import SEVERAL, check_counts, normal_form
from echobook.data.registry import public_use
from echobook.data.text_files import MalformedRow, item_line, read_json, read_lines
from echobook.data.types import DatasetUse

OUTSIDE = "O"
DUPLICATE = "duplicate"


class Tagged(NamedTuple):
    """One utterance: T words, T tags (``O``, ``B-slot`` or ``I-slot``) and an intent."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    intent: str


@dataclass(frozen=True)
class SlotCorpus:
    """A corpus by split.

    Attributes:
        name: corpus name.
        splits: utterances by split, in file order.
        use: what was used, for the results file.
        dropped: utterances left out, by reason.
    """

    name: str
    splits: Mapping[str, Sequence[Tagged]]
    use: DatasetUse
    dropped: Mapping[str, int] = field(default_factory=dict)


def check_tags(tags: Sequence[str], where: str) -> None:
    """Refuse a tag that is not BIO, or an ``I-slot`` that continues nothing; `where` names the utterance.

    Raises:
        CorpusError: the first wrong tag with its place.
    """
    before = OUTSIDE
    for position, tag in enumerate(tags):
        kind, _, slot = tag.partition("-")
        if tag != OUTSIDE and not (kind in ("B", "I") and slot):
            raise CorpusError(f"{where}: word {position + 1}: expected O, B-slot or I-slot, got {tag!r}")
        if kind == "I" and before not in (f"B-{slot}", f"I-{slot}"):
            raise CorpusError(
                f"{where}: word {position + 1}: {tag!r} continues no slot; the tag before is {before!r}"
            )
        before = tag


def spans(tags: Sequence[str]) -> set[tuple[int, int, str]]:
    """Slots as (first word, word behind the last, slot); the tags must be well formed."""
    found, start = set[tuple[int, int, str]](), None
    for position, tag in enumerate([*tags, OUTSIDE]):
        if start is not None and not tag.startswith("I-"):
            found.add((start, position, tags[start][2:]))
            start = None
        if tag.startswith("B-"):
            start = position
    return found


def _read_tagged_file(path: Path) -> Iterator[Tagged]:
    for number, line in read_lines(path):
        text, separator, label = line.rpartition(" <=> ")
        pairs = [pair.rpartition(":") for pair in text.split(" ")]
        if not separator or not label.strip() or not all(colon and tag for _, colon, tag in pairs):
            raise MalformedRow(path, number, "'word:TAG ... <=> label'", line)
        kept = [(word, tag) for word, _, tag in pairs if word]
        tags = _mend([tag for _, tag in kept])
        check_tags(tags, f"{path}:{number}")
        yield Tagged(tuple(word for word, _ in kept), tuple(tags), label.strip())


def _mend(tags: list[str]) -> list[str]:
    """Let a slot whose first word the publisher's cleaning removed begin with its next word."""
    mended: list[str] = []
    for tag in tags:
        slot = tag[2:]
        continues = mended and mended[-1] in (f"B-{slot}", f"I-{slot}")
        mended.append(f"B-{slot}" if tag.startswith("I-") and not continues else tag)
    return mended


def _read_rasa_file(path: Path) -> Iterator[Tagged]:
    document = read_json(path)
    try:
        examples = document["rasa_nlu_data"]["common_examples"]
    except (KeyError, TypeError) as error:
        raise MalformedRow(path, 1, "rasa_nlu_data.common_examples", type(document).__name__) from error
    for index, item in enumerate(examples):
        try:
            yield tag_characters(
                item["text"], [_entity(entity) for entity in item["entities"]], item["intent"]
            )
        except (KeyError, TypeError, CorpusError) as error:
            raise MalformedRow(
                path, item_line(path, "common_examples", index), "text, intent, entities", item
            ) from error


def _entity(entity: Mapping[str, Any]) -> tuple[int, int, str]:
    return int(entity["start"]), int(entity["end"]), str(entity["entity"])


def tag_characters(text: str, entities: Sequence[tuple[int, int, str]], intent: str) -> Tagged:
    """Words and tags from a text with slots given by characters (first, behind the last, slot).

    A slot's edge inside a word cuts the word. Raises CorpusError for a slot outside the text or two that
    overlap."""
    edges = {0, len(text)}
    last = 0
    for start, end, slot in sorted(entities):
        if not last <= start < end <= len(text):
            raise CorpusError(f"slot {slot!r} at {start}:{end}: expected inside {text!r}, and no overlap")
        edges |= {start, end}
        last = end
    words: list[str] = []
    tags: list[str] = []
    for start, end in _pieces(text, sorted(edges)):
        words.append(text[start:end])
        tags.append(OUTSIDE)
        for first, behind, slot in entities:
            if first <= start and end <= behind:
                begins = not text[first:start].strip()
                tags[-1] = ("B-" if begins else "I-") + snake_case(slot)
    return Tagged(tuple(words), tuple(tags), intent)


def _pieces(text: str, edges: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Words of a text between the edges, as character ranges."""
    for left, right in pairwise(edges):
        place = left
        for word in text[left:right].split():
            start = text.index(word, place)
            place = start + len(word)
            yield start, place


def build_slots(
    name: str, splits: Mapping[str, Sequence[Tagged]], use: Callable[[dict[str, int]], DatasetUse]
) -> SlotCorpus:
    """Prepare a corpus (see the module's text)."""
    dropped: Counter[str] = Counter()
    seen: set[str] = set()
    kept: dict[str, list[Tagged]] = {split: [] for split in splits}
    for split, utterances in splits.items():
        for words, tags, intent in utterances:
            key = normal_form(" ".join(words))
            if ";" in intent or key in seen:
                dropped[SEVERAL if ";" in intent else DUPLICATE] += 1
                continue
            seen.add(key)
            kept[split].append(Tagged(words, tags, snake_case(intent)))
    return SlotCorpus(name, kept, use({split: len(rows) for split, rows in kept.items()}), dict(dropped))


_SPLITS = {"train": "train", "validation": "valid", "test": "test"}
SLOT_SOURCES: Mapping[
    str, tuple[Mapping[str, str], Callable[[Path], Iterator[Tagged]], Mapping[str, int]]
] = {
    "snips": (_SPLITS, _read_tagged_file, {"train": 13_084, "validation": 700, "test": 700}),
    "atis": (_SPLITS, _read_tagged_file, {"train": 4_478, "validation": 500, "test": 893}),
    "nlu_eval_hwu64": ({"train": HWU64_FILE}, _read_rasa_file, {"train": 9_960}),
}


def load_slots(name: str) -> SlotCorpus:
    """A public corpus with intents and slots, its files verified first.

    Raises:
        CorpusError: unknown name, wrong counts, a malformed tag.
        MalformedRow: a row without the documented form (file and line named).
        echobook.data.fetch.FetchError: files missing or not the registered ones.
    """
    if name not in SLOT_SOURCES:
        raise CorpusError(f"unknown slot corpus {name!r}; known: {', '.join(sorted(SLOT_SOURCES))}")
    files, read, expected = SLOT_SOURCES[name]
    folder = fetch(name, files=tuple(files.values()))
    splits = {split: list(read(folder / file)) for split, file in files.items()}
    check_counts(name, {split: len(rows) for split, rows in splits.items()}, expected)
    return build_slots(name, splits, lambda counts: public_use(name, counts, tuple(files.values())))
