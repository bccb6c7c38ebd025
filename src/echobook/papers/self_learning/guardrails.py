"""What keeps a mined rewrite from doing harm, and the table that serves it.

Rules: intents that must never be reached by a guess are blocked; numbers and dates may not change unless
the two texts sound alike; chains u -> v -> w are resolved to w and cycles are dropped, so that the table
is idempotent; a rewrite whose live results are worse than none is switched off. None of this needs labels.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd
from scipy.stats import beta

PROTECTED = frozenset(
    """
    one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen twenty
    thirty forty fifty sixty hundred thousand first second third fourth fifth today tomorrow
    yesterday tonight noon midnight monday tuesday wednesday thursday friday saturday sunday january
    february march april may june july august september october november december
    """.split()  # noqa: SIM905
)
SOUNDS = (
    (r"[^a-z0-9]", ""),
    (r"ph", "f"),
    (r"gh(?=t)|h(?!$)", ""),
    (r"[ckq]+", "k"),
    (r"[sz]+", "s"),
    (r"[td]+", "t"),
    (r"[pb]+", "p"),
    (r"[fv]+", "f"),
    (r"[mn]+", "n"),
    (r"(?<!^)[aeiouwy]+", ""),
)


def sound_key(text: str) -> str:
    """Rough English sound of a text: consonant classes after the first letter; equal keys sound alike."""
    key = text.lower()
    for pattern, replacement in SOUNDS:
        key = re.sub(pattern, replacement, key)
    return key


def changes_protected(text: str, rewrite: str, protected: Iterable[str] = PROTECTED) -> bool:
    """Whether a rewrite adds, drops or alters a number, a date or other protected word, in another sound."""
    guarded = set(protected)

    def kept(words: str) -> list[str]:
        return sorted(w for w in words.split() if w in guarded or any(c.isdigit() for c in w))

    return kept(text) != kept(rewrite) and sound_key(text) != sound_key(rewrite)


def resolve(table: Mapping[str, str]) -> dict[str, str]:
    """Follow rewrites of rewrites to their end; everything that runs into a cycle is dropped. Idempotent."""
    final: dict[str, str] = {}
    for start in table:
        seen, here = {start}, table[start]
        while here in table and here not in seen:
            seen.add(here)
            here = table[here]
        if here not in seen:
            final[start] = here
    return final


def guarded(
    proposed: pd.DataFrame, *, blocked: Iterable[str] = (), protected: Iterable[str] = PROTECTED
) -> dict[str, str]:
    """From proposals (columns text, rewrite, state) to the table that may be served.

    blocked: prefixes of interpretations that no rewrite may reach, for example "call|" or "purchase|".
    """
    barred = tuple(blocked)
    rows = zip(proposed.text, proposed.rewrite, proposed.state, strict=True)
    table: dict[str, str] = {}
    for text, rewrite, state in rows:
        if not state.startswith(barred or "\0") and not changes_protected(text, rewrite, protected):
            table[text] = rewrite
    return resolve(table)


@dataclass
class ServingTable:
    """Look-up between recogniser and understanding, with a switch for each rewrite.

    A rewrite is switched off when, by Beta(1, 1) posteriors, it is worse than not rewriting with
    probability above `confidence`. `without` holds (wanted, seen) of each text before rewriting.
    """

    table: dict[str, str]
    without: Mapping[str, tuple[int, int]]
    confidence: float = 0.95

    def __post_init__(self) -> None:
        self.live: dict[str, list[int]] = {text: [0, 0] for text in self.table}

    def rewrite(self, text: str) -> str:
        """The text to understand instead; unknown texts come back as they are."""
        return self.table.get(text, text)

    def report(self, text: str, *, wanted: bool) -> bool:
        """Count a live outcome of a rewritten text; True when this switched its rewrite off."""
        if text not in self.table:
            return False
        self.live[text][0] += int(wanted)
        self.live[text][1] += 1
        if better_without(tuple(self.live[text]), self.without.get(text, (0, 0))) <= self.confidence:
            return False
        del self.table[text]
        return True


def better_without(live: tuple[int, ...], before: tuple[int, int], *, grid: int = 400) -> float:
    """Pr(success without > success with) under Beta(1, 1) posteriors; 0.5 when nothing is known."""
    share = (pd.Series(range(grid)) + 0.5).to_numpy() / grid
    worse = beta.cdf(share, live[0] + 1, live[1] - live[0] + 1)
    weight = beta.pdf(share, before[0] + 1, before[1] - before[0] + 1)
    return float((worse * weight).sum() / weight.sum())
