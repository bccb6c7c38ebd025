"""The pieces a run is made of: data of one world, a trained base, and models with context on top of it."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from echobook.data.types import DatasetUse
from echobook.papers.contextual_asr.acts import ActFusion, selected
from echobook.papers.contextual_asr.context import ContextEncoder
from echobook.papers.contextual_asr.guidance import spoken_spans
from echobook.papers.contextual_asr.material import (
    Material,
    Turn,
    draw_lists,
    espeak_material,
    examples,
    fit_front_end,
    flite_material,
    make_turns,
    noisy,
    split_voices,
)
from echobook.papers.contextual_asr.model import ContextualTransducer
from echobook.papers.contextual_asr.parts import Adapter, CarryOver, Combiner
from echobook.papers.contextual_asr.training import (
    ALL_KINDS,
    GUIDANCE,
    Lessons,
    Lister,
    Listing,
    aligned,
    carry_lister,
    encoded,
    heard_by,
    lister,
    train_base,
    train_context,
)
from echobook.papers.contextual_asr.vocabulary import Vocabulary
from echobook.speech.biasing.alignment import Path
from echobook.speech.biasing.catalogues import Draw, Entry
from echobook.speech.biasing.flite import flite_program
from echobook.speech.biasing.phonemes import CLASSES
from echobook.speech.biasing.recogniser import phoneme_transducer
from echobook.speech.features import FrontEnd
from echobook.speech.model import Transducer
from echobook.speech.training import Example, TrainingSettings

TRAIN_SNR = (5.0, 20.0)
VOICES = {"base": 40, "adapt": 20, "dev": 8, "test": 10}
SIZE = 128  # width of encodings and predictions
WINDOWS = {"encoder": 5}  # frames that a query sees, by place; elsewhere one vector
LEARNT = ("base", "adapt", "dev")
FIRST_SEED = 10_000  # first turns of the test are drawn apart from its follow-ups
NAMES = {"first": "test", "other": "test"}  # splits that use another split's names
Parts = type[Adapter] | type[Combiner] | type[CarryOver]


@dataclass(frozen=True)
class Sizes:
    """Turns of each split; of the test, follow-ups that mean an entry, follow-ups that mean none, and first
    turns (as many again of each sort)."""

    base: int
    adapt: int
    dev: int
    entity: int
    general: int
    first: int = 0


@dataclass(frozen=True)
class World:
    """Vocabulary, turns with clean audio and with features by split, and the data sets behind them."""

    vocabulary: Vocabulary
    material: Mapping[str, Material]
    features: Mapping[str, Sequence[Example]]
    front_end: FrontEnd
    uses: tuple[DatasetUse, ...]

    def turns(self, split: str) -> tuple[Turn, ...]:
        """Turns of a split."""
        return self.material[split].turns

    def with_noise(self, split: str, snr_db: float, *, seed: int) -> list[Example]:
        """Features of a split at one SNR."""
        audio = noisy(self.material[split], (snr_db, snr_db), seed=seed)
        return examples(self.material[split], audio, self.front_end, self.vocabulary.lexicon)


def build_world(
    vocabulary: Vocabulary,
    uses: Sequence[DatasetUse],
    sizes: Sizes,
    *,
    test_voices: str,
    other_voices: str = "none",
    snr_db: float,
    seed: int,
) -> World:
    """Speak all turns and compute their features.

    test_voices: "espeak" (voices no other split has) or "flite". other_voices: "flite" speaks the test's
    follow-ups once more, as the split `other`; "none" does not. Raises FliteMissing where flite is asked for
    and not installed, ValueError for other voices.
    """
    if test_voices not in ("espeak", "flite") or other_voices not in ("none", "flite"):
        raise ValueError(
            f"test_voices is {test_voices!r}; expected 'espeak' or 'flite'; "
            f"other_voices is {other_voices!r}; expected 'none' or 'flite'"
        )
    if "flite" in (test_voices, other_voices):
        flite_program()  # refuse before minutes are spent on the other voices
    turns = _turns(vocabulary, sizes, seed)
    if other_voices == "flite":
        turns["other"] = turns["test"]
    cast = split_voices(VOICES, seed=seed)
    material = {split: espeak_material(rows, cast[split]) for split, rows in turns.items() if split in LEARNT}
    for split in set(turns) - set(LEARNT):
        if test_voices == "flite" or split == "other":
            material[split] = flite_material(turns[split], seed=seed)
        else:
            material[split] = espeak_material(turns[split], cast["test"])
    levels = {split: TRAIN_SNR if split in LEARNT else (snr_db, snr_db) for split in material}
    audio = {split: noisy(rows, levels[split], seed=seed) for split, rows in material.items()}
    front_end = fit_front_end(audio["base"])
    features = {s: examples(material[s], audio[s], front_end, vocabulary.lexicon) for s in material}
    return World(vocabulary, material, features, front_end, tuple(uses))


def _turns(vocabulary: Vocabulary, sizes: Sizes, seed: int) -> dict[str, list[Turn]]:
    """Base: one turn in three with a name. Adaptation: 1.5 entity turns for each general one (published);
    most entity turns are follow-ups, most general ones open a dialogue. The test has each sort apart."""
    totals = {"base": sizes.base, "adapt": sizes.adapt, "dev": sizes.dev}
    shares = {"base": 1 / 3, "adapt": 0.6, "dev": 0.5}
    sorts = {split: (round(shares[split] * n), n - round(shares[split] * n)) for split, n in totals.items()}
    sorts |= {"test": (sizes.entity, sizes.general)}
    traps = {"base": 0.0, "adapt": 0.3, "dev": 0.3, "test": 0.5}
    first = {"adapt": (0.3, 0.7), "dev": (0.3, 0.7)}
    found = {
        split: make_turns(
            vocabulary,
            split,
            entity=entity,
            general=general,
            traps=traps[split],
            first=first.get(split, (0.0, 0.0)),
            seed=seed,
        )
        for split, (entity, general) in sorts.items()
    }
    if n := sizes.first:
        found["first"] = make_turns(
            vocabulary, "test", entity=n, general=n, traps=0.5, first=(1.0, 1.0), seed=seed + FIRST_SEED
        )
    return found


@dataclass
class Bench:
    """A world with its trained base: what every model with context starts from."""

    world: World
    base: Transducer
    settings: TrainingSettings
    rows: tuple[int, ...]
    encodings: dict[str, list[Example]] = field(default_factory=dict)
    paths: dict[str, list[Path]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for split in set(self.world.features) - {"base"}:
            self.encodings[split] = encoded(self.base, self.world.features[split])
        for split in ("adapt", "dev"):
            self.paths[split] = aligned(self.base, self.encodings[split])

    @property
    def plain(self) -> ContextualTransducer:
        """The base without any part."""
        with _seeded(self.settings.seed):
            return ContextualTransducer(self.base, ContextEncoder(CLASSES, kinds=0), {})

    def heard(self, split: str = "test") -> list[Tensor]:
        """The base's encodings of each turn of a split."""
        return [example.features for example in self.encodings[split]]

    def own_heard(self, model: ContextualTransducer, split: str = "test") -> list[Tensor]:
        """What a model hears of a split before the catalogue: its own base's encodings, guided by acts."""
        data = self.world.features if model.hears_anew else self.encodings
        return heard_by(model, data[split], self.world.turns(split))

    def noisy_heard(self, snr_db: float, *, seed: int) -> list[Tensor]:
        """The base's encodings of the test turns at another SNR."""
        return [e.features for e in encoded(self.base, self.world.with_noise("test", snr_db, seed=seed))]

    def trained(
        self,
        places: Sequence[str],
        *,
        kind: Parts = Adapter,
        listing: Listing | None = None,
        null_row: bool = True,
        kinds: bool = True,
        frozen: bool = True,
        acts: Sequence[str] = (),
        settings: TrainingSettings | None = None,
    ) -> ContextualTransducer:
        """A model with parts at these places, trained on the adaptation turns.

        Without places and not frozen this is plain fine-tuning of the base, without context. An unfrozen
        model trains a copy of the base. acts: "early", "late" or both for a fusion of dialogue acts, which is
        trained with the parts. settings: other ones than the bench's. On random lists there is no guidance,
        which would teach the parts to look away from them.
        """
        base = self.base if frozen else copy.deepcopy(self.base).requires_grad_(True)
        with _seeded(self.settings.seed + 1):
            context = ContextEncoder(CLASSES, kinds=len(ALL_KINDS) if kinds else 0, null_row=null_row)
            parts = {place: kind(SIZE, context.size, window=WINDOWS.get(place, 1)) for place in places}
            fusion = self._fusion(acts)
        model = ContextualTransducer(base, context, parts, frozen=frozen, acts=fusion)
        drawn = listing or Listing(rows=self.rows)
        lists = self._lists("adapt", drawn, kind) if places else None
        held = [self._lists("dev", replace(drawn, rows=(k,)), kind) for k in drawn.rows] if places else [None]
        data = self.world.features if model.hears_anew else self.encodings
        lessons = [
            Lessons(self.world.turns(s), data[s], self.paths[s], [spoken_spans(e.labels) for e in data[s]])
            for s in ("adapt", "dev")
        ]
        guidance = 0.0 if drawn.scrambled else GUIDANCE
        chosen = settings or self.settings
        train_context(model, lessons[0], lists, lessons[1], held, chosen, guidance=guidance)
        return model

    def _fusion(self, acts: Sequence[str]) -> ActFusion | None:
        """Fusion of acts, or None for none. Raises ValueError for a place other than early and late."""
        if unknown := sorted(set(acts) - {"early", "late"}):
            raise ValueError(f"acts enter {unknown[0]!r}; expected some of 'early', 'late'")
        width = self.world.features["adapt"][0].features.shape[1]
        return ActFusion(width, SIZE, early="early" in acts, late="late" in acts) if acts else None

    def _lists(self, split: str, listing: Listing, kind: Parts) -> Lister:
        turns = self.world.turns(split)
        if kind is CarryOver:
            return carry_lister(self.world.vocabulary, turns)
        return lister(self.world.vocabulary, split, turns, listing)

    def lists(self, split: str, rows: int, *, seed: int, alike: float = 0.3) -> list[tuple[Entry, ...]]:
        """Lists of a split's turns for recognition, the truth always in. Raises ValueError for long ones."""
        rng = np.random.default_rng([seed, rows])
        draw, names = Draw(rows, alike, 1.0), NAMES.get(split, split)
        if rows >= (held := len(self.world.vocabulary.entries[names])):
            raise ValueError(f"lists of {rows}: split {names!r} has {held} entries; {held - 1} at most")
        return draw_lists(self.world.vocabulary, names, self.world.turns(split), draw, rng=rng)

    def selected(self, split: str, lists: Sequence[Sequence[Entry]]) -> list[tuple[Entry, ...]]:
        """The entries of each turn's list that the turn's act lets through."""
        rows = zip(lists, self.world.turns(split), strict=True)
        return [selected(entries, turn.act) for entries, turn in rows]


def train_recogniser(world: World, settings: TrainingSettings) -> Transducer:
    """A base trained from scratch on the world's base turns."""
    width = world.features["base"][0].features.shape[1]
    with _seeded(settings.seed):
        base = phoneme_transducer(width, CLASSES, size=SIZE, dropout=0.2)
        train_base(base, world.features["base"], world.features["dev"], settings)  # draws a helper's weights
    return base


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Initial weights from a seed; the global random state is put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
