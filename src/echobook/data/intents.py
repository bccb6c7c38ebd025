"""Intent corpora in one form: text, intent, domain and split.

Preparation, the same for every corpus: text composed (Unicode's NFC) and white space collapsed; labels
cleaned to lower_snake_case; utterances with several labels dropped; of utterances equal after lower-casing
only the first is kept, in the order train, validation, test, oos-train, oos-validation, oos-test, so that the
splits are disjoint. What is
dropped is counted by reason. Row counts before preparation are checked against :data:`SOURCES`.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from echobook.data.fetch import fetch
from echobook.data.intent_sources import OUT_OF_SCOPE, SOURCES, SPLITS, CorpusError, Splits
from echobook.data.registry import public_use
from echobook.data.text_files import MalformedRow, read_lines
from echobook.data.types import DatasetUse
from echobook.data.unicode import nfc

__all__ = [
    "COLUMNS",
    "OUT_OF_SCOPE",
    "SOURCES",
    "SPLITS",
    "CorpusError",
    "IntentCorpus",
    "build_corpus",
    "load_intents",
    "load_sentences",
]
COLUMNS = ("text", "intent", "domain", "split")
SAME, OTHER, SEVERAL = "duplicate, same intent", "duplicate, another intent", "several intents"


@dataclass(frozen=True)
class IntentCorpus:
    """Utterances with their intents and domains.

    Attributes:
        name: corpus name.
        frame: columns text, intent, domain, split (all str); index 0..N-1. ``split`` is one of
            :data:`SPLITS`; rows of the ``oos-*`` splits, and only they, have intent and domain ``oos``. A
            source without domains has its own name as the only domain.
        use: what was used, for the results file.
        dropped: rows left out in preparation, by reason.

    Raises:
        CorpusError: missing column, empty field, unknown split, an intent in two domains, a text that
            occurs twice (lower-cased), or counts that disagree with ``use``.
    """

    name: str
    frame: pd.DataFrame
    use: DatasetUse
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_columns(self.name, self.frame)
        _check_labels(self.name, self.frame)
        _check_disjoint(self.name, self.frame)
        if (counts := split_counts(self.frame)) != dict(self.use.rows):
            raise CorpusError(
                f"{self.name}: the frame has rows {counts}, its DatasetUse states {self.use.rows}"
            )

    @property
    def intents(self) -> list[str]:
        """Intents in scope, sorted."""
        return sorted(set(self.frame["intent"]) - {OUT_OF_SCOPE})

    @property
    def domain_of(self) -> dict[str, str]:
        """Domain of each intent in scope."""
        pairs = self.frame.loc[self.frame["intent"] != OUT_OF_SCOPE, ["intent", "domain"]].drop_duplicates()
        return dict(sorted(zip(pairs["intent"], pairs["domain"], strict=True)))

    def rows(self, *splits: str) -> pd.DataFrame:
        """Rows of the named splits in file order, index from 0.

        Raises:
            CorpusError: a split that this corpus does not have.
        """
        present = set(self.frame["split"])
        if absent := [split for split in splits if split not in present]:
            raise CorpusError(f"{self.name} has no split {absent[0]!r}; it has {sorted(present)}")
        return self.frame[self.frame["split"].isin(splits)].reset_index(drop=True)


def split_counts(frame: pd.DataFrame) -> dict[str, int]:
    """Rows per split, in the order of :data:`SPLITS`."""
    counts = Counter(frame["split"])
    return {split: counts[split] for split in SPLITS if counts[split]}


def _check_columns(name: str, frame: pd.DataFrame) -> None:
    if tuple(frame.columns) != COLUMNS:
        raise CorpusError(f"{name}: expected the columns {COLUMNS}, got {tuple(frame.columns)}")
    for column in COLUMNS:
        bad = [i for i, value in enumerate(frame[column]) if not (isinstance(value, str) and value.strip())]
        if bad:
            raise CorpusError(f"{name}: row {bad[0]}, column {column}: expected text, got an empty value")
    if unknown := sorted(set(frame["split"]) - set(SPLITS)):
        raise CorpusError(f"{name}: unknown split {unknown[0]!r}; expected one of {SPLITS}")


def _check_labels(name: str, frame: pd.DataFrame) -> None:
    outside = frame["split"].str.startswith("oos-")
    for column in ("intent", "domain"):
        wrong = frame[outside != (frame[column] == OUT_OF_SCOPE)]
        if len(wrong):
            raise CorpusError(
                f"{name}: row {wrong.index[0]}: {column} 'oos' belongs to the oos splits, only there"
            )
    domains = frame.groupby("intent")["domain"].nunique()
    if (domains > 1).any():
        raise CorpusError(
            f"{name}: intent {domains.idxmax()!r} lies in {domains.max()} domains, expected one"
        )


def _check_disjoint(name: str, frame: pd.DataFrame) -> None:
    lowered = frame["text"].map(normal_form)
    twice = lowered[lowered.duplicated()]
    if len(twice):
        raise CorpusError(
            f"{name}: row {twice.index[0]} repeats an earlier text (lower-cased): expected no duplicates"
        )


def collapse(text: str) -> str:
    """Runs of white space become one space, none at the ends; letters are composed (NFC)."""
    return " ".join(nfc(text).split())


def normal_form(text: str) -> str:
    """What two texts must share to count as the same: composed, white space collapsed, lower-cased."""
    return nfc(collapse(text).lower())


def build_corpus(name: str, splits: Splits, use: Callable[[dict[str, int]], DatasetUse]) -> IntentCorpus:
    """Prepare (see the module's text) and validate a corpus.

    Args:
        name: corpus name.
        splits: (text, intent, domain) triples per split; an intent with ``;`` counts as several.
        use: makes the :class:`DatasetUse` from the counts per split.
    """
    dropped: Counter[str] = Counter()
    first: dict[str, str] = {}
    kept: list[tuple[str, str, str, str]] = []
    for split in (split for split in SPLITS if split in splits):
        for text, intent, domain in splits[split]:
            reason = _drop_reason(normal_form(text), intent, first)
            if reason:
                dropped[reason] += 1
            else:
                kept.append((collapse(text), intent, domain, split))
    frame = pd.DataFrame(kept, columns=list(COLUMNS), dtype=str)
    return IntentCorpus(name, frame, use(split_counts(frame)), dict(sorted(dropped.items())))


def _drop_reason(key: str, intent: str, first: dict[str, str]) -> str | None:
    if ";" in intent:
        return SEVERAL
    if key not in first:
        first[key] = intent
        return None
    return SAME if first[key] == intent else OTHER


def load_intents(name: str) -> IntentCorpus:
    """A public intent corpus, its files verified first.

    Args:
        name: a key of :data:`SOURCES`.

    Raises:
        CorpusError: unknown name, or counts other than stated.
        MalformedRow: a row without the documented form (file and line named).
        echobook.data.fetch.FetchError: files missing or not the registered ones.
    """
    if name not in SOURCES:
        raise CorpusError(f"unknown intent corpus {name!r}; known: {', '.join(sorted(SOURCES))}")
    source = SOURCES[name]
    splits = source.read(fetch(name, files=source.files))
    check_counts(name, {split: len(rows) for split, rows in splits.items()}, source.rows)
    return build_corpus(name, splits, lambda counts: public_use(name, counts, source.files))


def check_counts(name: str, actual: Mapping[str, int], expected: Mapping[str, int]) -> None:
    """Refuse a corpus whose rows per split differ from the stated ones."""
    if dict(actual) != dict(expected):
        raise CorpusError(f"{name}: expected rows {dict(expected)} before preparation, got {dict(actual)}")


def load_sentences(name: str = "clinc150-wiki") -> tuple[list[str], DatasetUse]:
    """Unlabelled sentences that stand in for out-of-scope utterances.

    Args:
        name: ``clinc150-wiki``, the 14,750 Wikipedia sentences published beside CLINC150.

    Returns:
        the distinct sentences (lower-cased comparison, first kept), and what was used.
    """
    if name != "clinc150-wiki":
        raise CorpusError(f"unknown sentence list {name!r}; known: clinc150-wiki")
    file = "all_wiki_sents.txt"
    path = fetch("clinc150", files=(file,)) / file
    lines = [(number, collapse(line)) for number, line in read_lines(path)]
    for number, line in lines:
        if not line:
            raise MalformedRow(path, number, "a sentence", line)
    check_counts(name, {"train": len(lines)}, {"train": 14_750})
    distinct = list({line.lower(): line for _, line in reversed(lines)}.values())[::-1]
    return distinct, public_use("clinc150", {"train": len(distinct)}, (file,))
