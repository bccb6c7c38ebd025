"""Lists of entries that a turn may refer to, and how to draw them: truth, sound-alikes, and others.

A catalogue holds distinct entries once, each with its type, and says per utterance which of them are listed;
a shared list costs its encoding once. Distractors follow what was published: others at random (Chang et al.
2021), sound-alikes of what is said (Alon et al. 2019), the truth sometimes left out (Pundak et al. 2018, Le
et al. 2021), so that a model must listen and not copy what is there.

Axes: P distinct entries, B utterances, K rows (padded with -1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from echobook.data.unicode import nfc
from echobook.speech.biasing.phonemes import Pronunciation


class Entry(NamedTuple):
    """A listed phrase and the kind of thing it names."""

    text: str
    kind: str


@dataclass(frozen=True)
class Catalogue:
    """Distinct entries as label strings with the number of their kind, and the rows of each utterance."""

    labels: tuple[Pronunciation, ...]
    kinds: Int[Tensor, " P"]
    rows: Int[Tensor, "B K"]

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.kinds):
            raise ValueError(f"{len(self.labels)} entries but {len(self.kinds)} kinds; expected one each")
        if self.rows.numel() and not -1 <= int(self.rows.min()) <= int(self.rows.max()) < len(self.labels):
            raise ValueError(f"rows name entries up to {int(self.rows.max())}; there are {len(self.labels)}")


def catalogue(
    lists: Sequence[Sequence[Entry]], labels: Mapping[str, Pronunciation], kinds: Sequence[str]
) -> Catalogue:
    """Catalogue of the entries listed for each utterance. Raises ValueError for an entry without labels."""
    places: dict[Entry, int] = {}
    spelled = [[_spelled(entry, labels) for entry in entries] for entries in lists]
    for entry in (entry for entries in spelled for entry in entries):
        if entry.text not in labels or entry.kind not in kinds:
            raise ValueError(f"entry {entry}: expected a text with labels and a kind of {', '.join(kinds)}")
        places.setdefault(entry, len(places))
    most = max((len(entries) for entries in lists), default=0)
    rows = torch.full((len(lists), most), -1)
    for row, entries in zip(rows, spelled, strict=True):
        row[: len(entries)] = torch.tensor([places[entry] for entry in entries], dtype=torch.long)
    numbers = torch.tensor([list(kinds).index(entry.kind) for entry in places], dtype=torch.long)
    return Catalogue(tuple(labels[entry.text] for entry in places), numbers, rows)


def _spelled(entry: Entry, labels: Mapping[str, Pronunciation]) -> Entry:
    """The entry as `labels` spells it, if they have its composed form (NFC) only."""
    return entry if entry.text in labels else entry._replace(text=nfc(entry.text))


@dataclass(frozen=True)
class Draw:
    """How lists are drawn: rows, share of sound-alikes among the distractors, chance that the truth is in."""

    rows: int
    alike: float = 0.3
    present: float = 1.0

    def __post_init__(self) -> None:
        if self.rows < 1 or not (0 <= self.alike <= 1 and 0 <= self.present <= 1):
            raise ValueError(f"expected rows >= 1 and shares in 0..1; got {self}")


def draw_entries(
    draw: Draw,
    truth: Entry | None,
    alike: Sequence[Entry],
    others: Sequence[Entry],
    *,
    rng: np.random.Generator,
) -> tuple[Entry, ...]:
    """At most `draw.rows` different entries in random order; the truth, if any, with its chance.

    alike: entries that sound like what is said; others: whatever else may be listed. The truth is never
    drawn as a distractor. Raises ValueError when there are too few entries to fill the list.
    """
    kept = [truth] if truth is not None and rng.random() < draw.present else []
    near = [entry for entry in dict.fromkeys(alike) if entry != truth]
    room = draw.rows - len(kept)
    near = [near[i] for i in rng.permutation(len(near))[: round(draw.alike * room)]]
    taken = {truth, *near}
    order = rng.permutation(len(others))[: room + len(taken)]
    rest = [entry for entry in dict.fromkeys(others[i] for i in order) if entry not in taken]
    rest = rest[: room - len(near)]
    if len(kept) + len(near) + len(rest) < draw.rows:
        raise ValueError(f"{len(others)} other entries are too few for a list of {draw.rows}")
    listed = [*kept, *near, *rest]
    return tuple(listed[i] for i in rng.permutation(len(listed)))
