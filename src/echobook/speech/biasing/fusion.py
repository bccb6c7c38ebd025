"""Shallow fusion: a bonus for label strings that match listed phrases, taken back when a match breaks off.

Knuth-Morris-Pratt biasing (Wang et al. 2023, arXiv 2310.00178): each phrase keeps the length i of its
prefix that the labels so far end in; the potential is mu = max over phrases of delta * i, and the bonus of a
label is the change of mu. A broken match gives its bonus back down to the longest prefix that still matches;
a completed phrase keeps its bonus and matching starts afresh. Kept here as one automaton of all phrases (Aho
and Corasick 1975): its state is the longest prefix of any phrase that the labels end in, so that its depth is
max i and a bonus is one table look-up.

Phrases match whole words: they start at a word start and are complete only before a boundary or the end, so
"bow" brings nothing inside "bowed". The longest match rules: where one phrase begins another, the shorter one
is kept when the longer breaks off after it, but a phrase inside a longer match that breaks off is lost.

Axes: S states, V classes; the blank moves nothing. Cost: O(total phrase length * V) to build.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from echobook.speech.biasing.phonemes import BLANK, BOUNDARY


@dataclass(frozen=True)
class FusionTable:
    """Next state and change of potential, in labels, for each state and label; and what the end changes.

    Multiply by delta, the bonus per label in nats. State 0 is a word start; the last state is inside a word
    that matches nothing.
    """

    following: Int[Tensor, "S V"]
    bonus: Float[Tensor, "S V"]
    end_bonus: Float[Tensor, " S"]

    def run(self, labels: Sequence[int]) -> float:
        """Bonus of a whole label string, in labels."""
        state, total = 0, 0.0
        for label in labels:
            total += float(self.bonus[state, label])
            state = int(self.following[state, label])
        return total + float(self.end_bonus[state])


@dataclass
class _Trie:
    """Prefixes of the phrases: children by label, depth, and how much of it can no longer be lost."""

    children: list[dict[int, int]] = field(default_factory=lambda: [{}])
    depth: list[int] = field(default_factory=lambda: [0])
    settled: list[int] = field(default_factory=lambda: [0])
    whole: list[bool] = field(default_factory=lambda: [False])

    def add(self, phrase: Sequence[int]) -> None:
        """Enter one phrase."""
        state = 0
        for label in phrase:
            if label not in self.children[state]:
                self.children[state][label] = len(self.depth)
                self.children.append({})
                self.depth.append(self.depth[state] + 1)
                self.whole.append(False)
                self.settled.append(0)
            state = self.children[state][label]
        self.whole[state] = True

    def breadth_first(self) -> list[tuple[int, int, int]]:
        """All (state, label, child), parents first."""
        queue, found = deque([0]), []
        while queue:
            state = queue.popleft()
            found += [(state, label, child) for label, child in self.children[state].items()]
            queue.extend(self.children[state].values())
        return found


def fusion_table(phrases: Iterable[Sequence[int]], classes: int) -> FusionTable:
    """Automaton of the phrases, each a label string without blank. No phrases: a table without bonuses.

    Raises ValueError naming a phrase that is empty, holds a label out of range, or starts or ends with a
    boundary.
    """
    trie = _Trie()
    for phrase in phrases:
        labels = tuple(phrase)
        if not labels or min(labels) < 1 or max(labels) >= classes or BOUNDARY in (labels[0], labels[-1]):
            raise ValueError(
                f"phrase is {list(labels)}; expected labels in 1..{classes - 1}, at least one, "
                "and a boundary only between words"
            )
        trie.add(labels)
    for state, label, child in trie.breadth_first():
        kept = trie.whole[state] and label == BOUNDARY
        trie.settled[child] = trie.depth[state] if kept else trie.settled[state]
    return _table(trie, _failures(trie), classes)


def _failures(trie: _Trie) -> list[int]:
    """For each state the longest shorter suffix that starts at a word start and is a prefix of a phrase.

    -1 where there is none: inside a word that matches nothing. After a boundary that is at least state 0.
    """
    failure = [-1] * len(trie.depth)
    for state, label, child in trie.breadth_first():
        back = failure[state]
        while back >= 0 and label not in trie.children[back]:
            back = failure[back]
        none = 0 if label == BOUNDARY else -1
        failure[child] = trie.children[back][label] if back >= 0 else none
    return failure


def _table(trie: _Trie, failure: list[int], classes: int) -> FusionTable:
    """Rows of the states: what the failure does, then the trie's own moves, parents before children."""
    inside = len(trie.depth)
    following = np.full((inside + 1, classes), inside)
    following[inside, BOUNDARY] = 0
    for state in [0, *(child for _, _, child in trie.breadth_first())]:
        following[state] = following[failure[state]]  # -1 is the last row, `inside`
        if trie.whole[state]:
            following[state, BOUNDARY] = 0  # complete: matching starts afresh
        for label, child in trie.children[state].items():
            following[state, label] = child
    following[:, BLANK] = np.arange(inside + 1)
    depth = np.array([*trie.depth, 0])
    at_risk = depth - np.array([*trie.settled, 0])
    bonus = depth[following] - at_risk[:, None]
    whole = np.array([*trie.whole, False])
    bonus[whole, BOUNDARY] = 0
    for state, label, _ in trie.breadth_first():
        bonus[state, label] = 1
    bonus[:, BLANK] = 0
    ends = np.where(whole, 0, -at_risk)
    return FusionTable(torch.from_numpy(following), _float(bonus), _float(ends))


def _float(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def join_tables(tables: Sequence[FusionTable]) -> tuple[FusionTable, Int[Tensor, " C"]]:
    """One table for several catalogues, and the start state of each. Raises ValueError for none."""
    if not tables:
        raise ValueError("no tables to join; expected at least one")
    starts = torch.tensor([0, *(len(table.following) for table in tables[:-1])]).cumsum(0)
    following = torch.cat([t.following + s for t, s in zip(tables, starts.tolist(), strict=True)])
    bonus = torch.cat([table.bonus for table in tables])
    return FusionTable(following, bonus, torch.cat([table.end_bonus for table in tables])), starts
