"""The public intent corpora: their files, how each is read, and the counts they must have.

Readers return (text, intent, domain) triples per split, labels cleaned, nothing dropped; preparation is
:func:`echobook.data.intents.build_corpus`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from echobook.data.text_files import (
    MalformedRow,
    Utterance,
    read_json,
    read_json_pairs,
    read_rasa,
    read_slot_tagged,
    read_tsv,
)
from echobook.data.unicode import nfc

SPLITS = ("train", "validation", "test", "oos-train", "oos-validation", "oos-test")
OUT_OF_SCOPE = "oos"
Labelled = tuple[str, str, str]  # text, intent, domain
Splits = dict[str, list[Labelled]]


class CorpusError(ValueError):
    """A corpus that breaks its stated form."""


def snake_case(label: str) -> str:
    """``AddToPlaylist`` and ``add to-playlist`` become ``add_to_playlist``."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", nfc(label).strip())
    return re.sub(r"[\s\-_]+", "_", spaced).lower()


@dataclass(frozen=True)
class IntentSource:
    """How one public corpus is read, and the counts it must have before preparation."""

    files: tuple[str, ...]
    read: Callable[[Path], Splits]
    rows: Mapping[str, int]


def _map_splits(named: Mapping[str, Iterable[Utterance]], label: Callable[[str], tuple[str, str]]) -> Splits:
    return {split: [(item.text, *label(item.label)) for item in items] for split, items in named.items()}


def _read_clinc150(folder: Path) -> Splits:
    document: object = read_json(folder / "domains.json")
    if not isinstance(document, dict):
        raise MalformedRow(folder / "domains.json", 1, "an object domain -> intents", document)
    domain_of = {intent: domain for domain, intents in document.items() for intent in intents}
    domain_of[OUT_OF_SCOPE] = OUT_OF_SCOPE
    parts = read_json_pairs(folder / "data_full.json")
    if unknown := sorted({item.label for items in parts.values() for item in items} - set(domain_of)):
        raise CorpusError(f"{folder / 'domains.json'} gives no domain for intent {unknown[0]!r}")
    names = dict(zip(("train", "val", "test", "oos_train", "oos_val", "oos_test"), SPLITS, strict=True))
    if set(parts) != set(names):
        raise CorpusError(
            f"{folder / 'data_full.json'}: expected the splits {sorted(names)}, got {sorted(parts)}"
        )
    return _map_splits({names[part]: parts[part] for part in names}, lambda label: (label, domain_of[label]))


def _tagged_reader(label: Callable[[str], tuple[str, str]]) -> Callable[[Path], Splits]:
    files = {"train": "train", "validation": "valid", "test": "test"}
    return lambda folder: _map_splits({s: read_slot_tagged(folder / f) for s, f in files.items()}, label)


def _atis_label(label: str) -> tuple[str, str]:
    return ";".join(snake_case(part.removeprefix("atis_")) for part in label.split(";")), "atis"


def _facebook_label(label: str) -> tuple[str, str]:
    domain, separator, intent = label.partition("__")
    if not (domain and separator and intent):
        raise CorpusError(f"fb_multilingual_en: expected a label 'domain__intent', got {label!r}")
    return snake_case(intent), snake_case(domain)


def _read_hwu64(folder: Path) -> Splits:
    items = read_rasa(folder / HWU64_FILE)
    return _map_splits({"train": items}, lambda label: (snake_case(label), label.partition("_")[0]))


def _read_stackoverflow(folder: Path) -> Splits:
    files = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
    items = {split: read_tsv(folder / file) for split, file in files.items()}
    return _map_splits(items, lambda label: (snake_case(label), "stackoverflow20"))


HWU64_FILE = "RasaNlu_Merged_KFold_1.json"
_TAGGED = ("train", "valid", "test")
SOURCES: Mapping[str, IntentSource] = {
    "clinc150": IntentSource(
        ("data_full.json", "domains.json"),
        _read_clinc150,
        dict(zip(SPLITS, (15_000, 3_000, 4_500, 100, 100, 1_000), strict=True)),
    ),
    "snips": IntentSource(
        _TAGGED,
        _tagged_reader(lambda label: (snake_case(label), "snips")),
        {"train": 13_084, "validation": 700, "test": 700},
    ),
    "atis": IntentSource(
        _TAGGED, _tagged_reader(_atis_label), {"train": 4_478, "validation": 500, "test": 893}
    ),
    "fb_multilingual_en": IntentSource(
        _TAGGED, _tagged_reader(_facebook_label), {"train": 30_521, "validation": 4_181, "test": 8_621}
    ),
    "nlu_eval_hwu64": IntentSource((HWU64_FILE,), _read_hwu64, {"train": 9_960}),
    "stackoverflow20": IntentSource(
        ("train.tsv", "dev.tsv", "test.tsv"),
        _read_stackoverflow,
        {"train": 12_000, "validation": 2_000, "test": 6_000},
    ),
}
