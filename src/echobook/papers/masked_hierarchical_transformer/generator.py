"""Generated threads in which only an ancestor tells two candidates apart, as often as a knob says.

A thread begins with a root, from which *branches* grow. The first message of a branch names its topic and
brings up two properties; every later one names a property that nobody has answered yet and brings up two
new ones:

    mixer crackles hums           opens the branch of the topic "mixer"
    crackles volume cable         answers it, as it says "crackles"
    volume knob rust              answers that one

A message can be *ambiguous*: another branch has brought up the property that it names as well, so that its
words fit two candidates equally. It then repeats the topic, which neither candidate says: only an ancestor
of the right one does.

    lamp flickers dims            opens another branch
    flickers cable switch         brings up "cable" there
    cable plug wall mixer         which of the two does it answer?

With probability ``ambiguity`` a message is ambiguous. At 0, the control, the words of the parent are always
enough and reading ancestors can bring nothing. Every thread deals the words anew, so that no word means
anything: only where it has been said before counts.

A message is a bag of words, so that nothing needs a language model.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float

from echobook.data.types import DatasetUse, rows_digest
from echobook.papers.masked_hierarchical_transformer.material import (
    Conversation,
    Pool,
    make_pool,
    thread_conversation,
)

VERSION = "1"
FILLERS = ("well", "so", "ok", "then", "right", "now")
SYLLABLES = ("ba", "do", "fi", "gu", "ka", "le", "mo", "nu", "pi", "ro", "sa", "ty", "vu", "wi", "za", "he")
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class ThreadWorld:
    """The knobs.

    Attributes:
        ambiguity: probability that a reply needs an ancestor, 0 to 1.
        threads: of training; validation has a quarter and test half of them.
        messages: of a thread.
        branches: of a thread; 1 gives a single branch, in which nothing is ambiguous.
        words: of the vocabulary, from which every thread draws its topics and properties anew.
        chain: probability that a reply answers the last message of its branch; else any of the branch.
    """

    ambiguity: float = 0.7
    threads: int = 200
    messages: int = 8
    branches: int = 2
    words: int = 20
    chain: float = 0.6

    def __post_init__(self) -> None:
        if not (0 <= self.ambiguity <= 1 and 0 <= self.chain <= 1):
            raise ValueError(f"expected probabilities in [0, 1], got {self.ambiguity} and {self.chain}")
        needed = self.branches + 2 * (self.messages - 1)
        if not needed <= self.words <= len(SYLLABLES) ** 2:
            raise ValueError(f"words: expected {needed} to {len(SYLLABLES) ** 2}, got {self.words}")
        if self.threads < 4 or not 1 <= self.branches <= self.messages - 2:
            raise ValueError(
                f"expected at least 4 threads and 1 to {self.messages - 2} branches, got {self.threads} and "
                f"{self.branches}"
            )


def vocabulary(world: ThreadWorld) -> list[str]:
    """All words that a world's messages are made of."""
    return [
        "hello",
        *FILLERS,
        *itertools.islice(map("".join, itertools.product(SYLLABLES, repeat=2)), world.words),
    ]


def encode_words(texts: Sequence[str], words: Sequence[str]) -> Float[np.ndarray, "N V"]:
    """Number of times that each of the words is in each text.

    Raises:
        ValueError: a word that is not of the vocabulary.
    """
    column = {word: place for place, word in enumerate(words)}
    found = np.zeros((len(texts), len(words)), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in text.split():
            if word not in column:
                raise ValueError(f"text {row}: {word!r} is not one of the {len(words)} words of this world")
            found[row, column[word]] += 1
    return found


def generated_pools(world: ThreadWorld, *, seed: int) -> tuple[dict[str, Pool], DatasetUse]:
    """Pools of training, validation and test threads, and what was generated; deterministic for a seed."""
    rng = np.random.default_rng([seed, 31])
    known = vocabulary(world)
    words = known[-world.words :]
    counts = dict(zip(SPLITS, (world.threads, world.threads // 4, world.threads // 2), strict=True))
    threads = {
        split: [thread(world, words, rng, f"{split}-{number}") for number in range(counts[split])]
        for split in SPLITS
    }
    rows = [[split, *one.texts, *map(str, one.parents)] for split in SPLITS for one in threads[split]]
    version = f"{VERSION}, seed {seed}, {world}"
    sizes = {split: sum(len(one.texts) for one in threads[split]) for split in SPLITS}
    name = f"generated threads {world.ambiguity:g}"
    use = DatasetUse(name, version, rows_digest(rows), "CC0-1.0 (generated)", sizes, __name__)
    encode = partial(encode_words, words=known)
    return {split: make_pool(threads[split], encode) for split in SPLITS}, use


@dataclass
class Said:
    """A message of a branch under construction: its number, the properties that it brought up and nobody has
    answered, and whether it says its topic.
    """

    message: int
    open: list[str]
    topical: bool


class Growing:
    """A thread under construction."""

    def __init__(self, world: ThreadWorld, words: Sequence[str], rng: np.random.Generator) -> None:
        self.world, self.rng = world, rng
        self.fresh = iter([words[place] for place in rng.permutation(len(words))])
        self.texts, self.parents = [f"hello {self.filler()}"], [(0,)]
        self.topics = [next(self.fresh) for _ in range(world.branches)]
        self.branches = [[self.say(0, topic, self.two())] for topic in self.topics]

    def filler(self) -> str:
        return FILLERS[int(self.rng.integers(len(FILLERS)))]

    def two(self) -> list[str]:
        return [next(self.fresh), next(self.fresh)]

    def say(self, parent: int, names: str, brings: list[str], topic: str = "") -> Said:
        """Append a message that answers ``parent``."""
        self.parents.append((parent,))
        self.texts.append(" ".join(part for part in (names, *brings, topic, self.filler()) if part))
        return Said(len(self.texts) - 1, brings.copy(), bool(topic) or names in self.topics)

    def choose(self, said: list[Said]) -> Said:
        """The last message or any, as the world's chain says."""
        return said[-1] if self.rng.random() < self.world.chain else said[int(self.rng.integers(len(said)))]

    def reply(self, number: int, brings: list[str]) -> Said:
        """Answer a message of a branch."""
        one = self.choose([one for one in self.branches[number] if one.open])
        self.branches[number].append(self.say(one.message, one.open.pop(0), brings))
        return self.branches[number][-1]

    def grow(self) -> None:
        """Add a reply in some branch; an ambiguous one together with the message that makes it so."""
        number = int(self.rng.integers(len(self.branches)))
        plain = [one for one in self.branches[number] if one.open and not one.topical]
        room = len(self.texts) + 2 <= self.world.messages and len(self.branches) > 1
        if not (room and plain and self.rng.random() < self.world.ambiguity):
            self.reply(number, self.two())
            return
        one = self.choose(plain)
        shared = one.open.pop(0)
        other = (number + 1 + int(self.rng.integers(len(self.branches) - 1))) % len(self.branches)
        self.reply(other, [shared, next(self.fresh)]).open.remove(shared)
        self.branches[number].append(self.say(one.message, shared, self.two(), self.topics[number]))


def thread(world: ThreadWorld, words: Sequence[str], rng: np.random.Generator, name: str) -> Conversation:
    """One thread: a root, the openings of its branches, then replies in random branches."""
    growing = Growing(world, words, rng)
    while len(growing.texts) < world.messages:
        growing.grow()
    return thread_conversation(name, growing.texts, growing.parents)
