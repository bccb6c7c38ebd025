"""The 77 features of a pair of messages by Kummerfeld et al. (2019): speaker, time, mentions, words.

Groups, in this order: 14 flags of the log's year (2004 to 2017) and 4 of its messages a minute; of the
target 15; of the candidate 15 and 2 about its neighbours; of the pair 27. They are those of the authors'
public code, written anew for whole channels at once. Differences: names are compared in lower case on both
sides (theirs compares a lower-cased mention with the name as written); names that are everyday words are
ignored by a list of English stop words in place of their own list; a line's minute at the start of a log is
that of its first message.

Letters: N messages, Q targets, L candidates of each, the target itself last, F = 77.
"""

import string
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from echobook.data.irc import Channel, Message

COUNT = 77
YEARS = range(2004, 2018)
BOTS = ("ubottu", "ubotu")
EVERYDAY = ENGLISH_STOP_WORDS | {
    "ubuntu", "linux", "help", "hello", "hi", "thanks", "thank", "root", "user", "guys", "windows", "yes",
    "just", "like", "know", "does", "try", "need", "want", "sure", "okay", "good", "think", "install",
}  # fmt: skip
RATES, GAPS, WAITS = (-1, 1, 3, 10, 10_000), (-1, 0, 1, 5, 20, 1_000), (-1, 0, 2, 10, 10_000)
APART = (-1, 0, 1, 5, 60, 10_000)
DAY = 1440


def bins(values: Int[np.ndarray, "*S"], edges: Sequence[int]) -> Bool[np.ndarray, "*S K"]:
    """Flags edge[k] <= value < edge[k + 1], one along a new last axis for each bin."""
    low, high = np.array(edges[:-1]), np.array(edges[1:])
    return (values[..., None] >= low) & (values[..., None] < high)


def core(name: str) -> str:
    """A name in lower case, without punctuation at its ends unless it is nothing else."""
    return name.lower().strip(string.punctuation) or name.lower()


def channel_names(messages: Iterable[Message]) -> frozenset[str]:
    """Names that count as mentions: of speakers and of lines ``x is now known as y``, as :func:`core` has
    them; not names of up to two letters, digits alone, or everyday words.
    """
    found: set[str] = set()
    for message in messages:
        renamed = message.system and "is now known as" in message.text
        found |= {core(name) for name in (message.speaker, *message.text.split()[-1:] * renamed)}
    return frozenset(n for n in found if len(n) > 2 and not n.isdigit() and n not in EVERYDAY)


def mentions(text: str, names: frozenset[str]) -> set[str]:
    """Names in a text; punctuation at the ends of a word does not count."""
    return {word for word in map(core, text.split()) if word in names}


@dataclass(frozen=True)
class Facts:
    """What the features need to know of a channel, one entry a message."""

    channel: Channel

    @cached_property
    def speakers(self) -> list[str]:
        """Speakers as :func:`core` has them."""
        return [core(message.speaker) for message in self.channel.messages]

    @cached_property
    def mentioned(self) -> list[set[str]]:
        """Names mentioned in each message."""
        names = channel_names(self.channel.messages)
        return [mentions(message.text, names) for message in self.channel.messages]

    @cached_property
    def minutes(self) -> Int[np.ndarray, " N"]:
        return np.array([message.minute for message in self.channel.messages])

    @cached_property
    def system(self) -> Bool[np.ndarray, " N"]:
        return np.array([message.system for message in self.channel.messages])

    @cached_property
    def neighbours(self) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
        """Previous and next message of the same speaker; -1 and N where there is none. System lines do not
        count as a speaker's message.
        """
        count = len(self.speakers)
        before, behind = np.full(count, -1), np.full(count, count)
        last: dict[str, int] = {}
        for message, name in enumerate(self.speakers):
            before[message] = last.get(name, -1)
            if not self.system[message]:
                if name in last:
                    behind[last[name]] = message
                last[name] = message
        return before, behind

    @cached_property
    def addressed(self) -> dict[tuple[str, str], list[int]]:
        """Messages in which the first name mentions the second."""
        found: dict[tuple[str, str], list[int]] = {}
        for message, names in enumerate(self.mentioned):
            for name in names:
                found.setdefault((self.speakers[message], name), []).append(message)
        return found

    @cached_property
    def words(self) -> csr_array:
        """Which message has which word, time and name included, as in the authors' code."""
        return incidence([set(message.whole.split()) for message in self.channel.messages])

    @cached_property
    def alone(self) -> Float[np.ndarray, "N 15"]:
        """The 15 features of single messages."""
        before, _ = self.neighbours
        seen, at = before >= 0, np.arange(len(before))
        targeted = np.array([bool(names) for names in self.mentioned])
        gap = np.where(seen, at - before, -1)
        wait = np.where(seen, (self.minutes - self.minutes[before]) % DAY, -1)
        bot = np.array([name in BOTS for name in self.speakers])
        parts = [self.system, self.minutes // 60 / 24, targeted, seen, seen & targeted[before]]
        return np.column_stack([*parts, bins(gap, GAPS), bins(wait, WAITS), bot]).astype(np.float32)


def incidence(sets: Sequence[set[str]]) -> csr_array:
    """Sparse rows of ones, one column a member."""
    column = {member: place for place, member in enumerate(sorted(set().union(*sets)))}
    rows = np.repeat(np.arange(len(sets)), [len(members) for members in sets])
    columns = np.array([column[member] for members in sets for member in sorted(members)], dtype=np.int64)
    shape = (len(sets), max(1, len(column)))
    return csr_array((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)


def pair_features(
    channel: Channel, targets: Int[np.ndarray, " Q"], candidates: Int[np.ndarray, "Q L"]
) -> Float[np.ndarray, "Q L 77"]:
    """Features of each target with each of its candidates (line numbers); its last candidate is itself."""
    facts = Facts(channel)
    query = np.broadcast_to(targets[:, None], candidates.shape)
    other = candidates != query
    parts = [
        np.broadcast_to(_of_channel(facts), (*query.shape, 18)),
        facts.alone[query],
        _of_candidate(facts, candidates, other),
        _of_pair(facts, query, candidates, other),
    ]
    return np.concatenate(parts, axis=2).astype(np.float32)


def _of_channel(facts: Facts) -> Float[np.ndarray, " 18"]:
    spoken = facts.minutes[~facts.system]
    span = int((spoken[-1] - spoken[0]) % DAY) if len(spoken) else 0
    rate = len(facts.speakers) / max(1, span)
    low, high = np.array(RATES[:-1]), np.array(RATES[1:])
    years = [facts.channel.year == year for year in YEARS]
    return np.concatenate([years, (rate >= low) & (rate < high)]).astype(np.float32)


def _of_candidate(
    facts: Facts, candidates: Int[np.ndarray, "Q L"], other: Bool[np.ndarray, "Q L"]
) -> Float[np.ndarray, "Q L 17"]:
    """A self-link has no flags of mention, previous message and its distance."""
    alone = facts.alone[candidates].copy()
    alone[..., 2:10] *= other[..., None]
    who = np.unique(facts.speakers, return_inverse=True)[1].reshape(-1)
    behind = np.append(who[1:], -1)[candidates] == who[candidates]
    before = np.append(-1, who[:-1])[candidates] == who[candidates]
    return np.concatenate([alone, (behind & other)[..., None], (before & other)[..., None]], axis=2)


def _of_pair(
    facts: Facts,
    query: Int[np.ndarray, "Q L"],
    candidates: Int[np.ndarray, "Q L"],
    other: Bool[np.ndarray, "Q L"],
) -> Float[np.ndarray, "Q L 27"]:
    before, behind = facts.neighbours
    apart = query - candidates
    wait = (facts.minutes[query] - facts.minutes[candidates]) % DAY
    who = np.unique(facts.speakers, return_inverse=True)[1].reshape(-1)
    flags = [~other, np.minimum(apart, 100) / 100, apart > 1, np.minimum(wait, 100) / 100, bins(wait, APART)]
    flags += _mention_flags(facts, query, candidates)
    flags += [other & (before[query] < candidates), other & (behind[candidates] > query)]
    flags += [_address_flags(facts, query, candidates, other), who[query] == who[candidates]]
    flags += [_overlap(incidence(facts.mentioned), query, candidates, other)[0] > 0]
    common, share, of_target = _overlap(facts.words, query, candidates, other)
    counts = [common == 0, common == 1, common > 1, common > 5]
    flags += [share, of_target, *(count & other for count in counts)]
    return np.concatenate([np.atleast_3d(flag).astype(np.float32) for flag in flags], axis=2)


def _mention_flags(
    facts: Facts, query: Int[np.ndarray, "Q L"], candidates: Int[np.ndarray, "Q L"]
) -> list[Bool[np.ndarray, "Q L"]]:
    """Candidate mentions the target's speaker; target mentions the candidate's speaker."""
    by_name: dict[str, set[int]] = {}
    for message, names in enumerate(facts.mentioned):
        for name in names:
            by_name.setdefault(name, set()).add(message)
    none: set[int] = set()

    def says(texts: Int[np.ndarray, "Q L"], persons: Int[np.ndarray, "Q L"]) -> Bool[np.ndarray, "Q L"]:
        pairs = zip(texts.ravel().tolist(), persons.ravel().tolist(), strict=True)
        flags = [text in by_name.get(facts.speakers[person], none) for text, person in pairs]
        return np.array(flags, dtype=bool).reshape(texts.shape)

    return [says(candidates, query), says(query, candidates)]


def _address_flags(
    facts: Facts,
    query: Int[np.ndarray, "Q L"],
    candidates: Int[np.ndarray, "Q L"],
    other: Bool[np.ndarray, "Q L"],
) -> Bool[np.ndarray, "Q L 6"]:
    """Whether the target's speaker addresses the candidate's before it, after the target, or between; and
    the other way round.
    """
    found = np.zeros((*query.shape, 6), dtype=bool)
    for place in zip(*np.nonzero(other), strict=True):
        late, early = int(query[place]), int(candidates[place])
        for start, pair in ((0, (late, early)), (3, (early, late))):
            lines = facts.addressed.get((facts.speakers[pair[0]], facts.speakers[pair[1]]))
            if lines:
                between = bisect_left(lines, late) > bisect_right(lines, early)
                found[place][start : start + 3] = (lines[0] < early, lines[-1] > late, between)
    return found


def _overlap(
    sets: csr_array,
    query: Int[np.ndarray, "Q L"],
    candidates: Int[np.ndarray, "Q L"],
    other: Bool[np.ndarray, "Q L"],
) -> tuple[Float[np.ndarray, "Q L"], Float[np.ndarray, "Q L"], Float[np.ndarray, "Q L"]]:
    """Common members, and their share of the candidate's and of the target's; zero for a self-link."""
    sizes = np.asarray(sets.sum(axis=1)).reshape(-1)
    common = np.zeros(query.shape, dtype=np.float32)
    for column in range(query.shape[1]):
        both = sets[query[:, column]].multiply(sets[candidates[:, column]])
        common[:, column] = np.asarray(both.sum(axis=1)).reshape(-1)
    common *= other
    return common, common / np.maximum(1, sizes[candidates]), common / np.maximum(1, sizes[query])
