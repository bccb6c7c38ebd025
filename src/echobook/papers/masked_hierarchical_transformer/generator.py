"""Generated threads in which only an ancestor tells two candidates apart, as often as a knob says.

A thread begins with a root, from which *branches* grow. The first message of a branch names its topic and a
property; every later one names the property of the message that it answers and a new one:

    mixer crackles                opens the branch of the topic "mixer"
    crackles volume               answers it, as it says "crackles", and brings up "volume"
    volume cable                  answers that one

A message can be *ambiguous*: another branch has brought up its parent's property as well, so that its words
fit two candidates equally. It then repeats the topic, which neither candidate says: only an ancestor of the
right one does.

    lamp flickers                 opens another branch
    flickers volume               brings up "volume" there
    volume cable mixer            which of the two does it answer?

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
SYLLABLES = ("ba", "do", "fi", "gu", "ka", "le", "mo", "nu", "pi", "ro", "sa", "te", "vu", "wi", "za", "he")
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

    ambiguity: float = 0.5
    threads: int = 400
    messages: int = 12
    branches: int = 2
    words: int = 60
    chain: float = 0.5

    def __post_init__(self) -> None:
        if not (0 <= self.ambiguity <= 1 and 0 <= self.chain <= 1):
            raise ValueError(f"expected probabilities in [0, 1], got {self.ambiguity} and {self.chain}")
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
    """A message of a branch under construction: its number, the property that it brings up, and whether it
    says its topic or shares its property with another branch.
    """

    message: int
    brings: str
    topical: bool
    shared: bool = False


class Growing:
    """A thread under construction."""

    def __init__(self, world: ThreadWorld, words: Sequence[str], rng: np.random.Generator) -> None:
        self.world, self.rng = world, rng
        self.fresh = itertools.cycle(words[place] for place in rng.permutation(len(words)))
        self.texts, self.parents = [f"hello {self.filler()}"], [(0,)]
        self.topics = [next(self.fresh) for _ in range(world.branches)]
        self.branches = [[self.say(0, topic, next(self.fresh))] for topic in self.topics]

    def filler(self) -> str:
        return FILLERS[int(self.rng.integers(len(FILLERS)))]

    def say(self, parent: int, names: str, brings: str, topic: str = "") -> Said:
        """Append a message that answers ``parent``."""
        self.parents.append((parent,))
        self.texts.append(" ".join(part for part in (names, brings, topic, self.filler()) if part))
        return Said(len(self.texts) - 1, brings, bool(topic) or names in self.topics)

    def reply(self, number: int, brings: str) -> Said:
        """Answer a message of a branch whose property is its own."""
        free = [one for one in self.branches[number] if not one.shared]
        last = self.rng.random() < self.world.chain
        one = free[-1] if last else free[int(self.rng.integers(len(free)))]
        self.branches[number].append(self.say(one.message, one.brings, brings))
        return self.branches[number][-1]

    def grow(self) -> None:
        """Add a reply in some branch; an ambiguous one together with the message that makes it so."""
        number = int(self.rng.integers(len(self.branches)))
        plain = [one for one in self.branches[number] if not (one.topical or one.shared)]
        room = len(self.texts) + 2 <= self.world.messages and len(self.branches) > 1
        if not (room and plain and self.rng.random() < self.world.ambiguity):
            self.reply(number, next(self.fresh))
            return
        one = plain[-1] if self.rng.random() < self.world.chain else plain[int(self.rng.integers(len(plain)))]
        other = (number + 1 + int(self.rng.integers(len(self.branches) - 1))) % len(self.branches)
        twin = self.reply(other, one.brings)
        one.shared = twin.shared = True
        said = self.say(one.message, one.brings, next(self.fresh), self.topics[number])
        self.branches[number].append(said)


def thread(world: ThreadWorld, words: Sequence[str], rng: np.random.Generator, name: str) -> Conversation:
    """One thread: a root, the openings of its branches, then replies in random branches."""
    growing = Growing(world, words, rng)
    while len(growing.texts) < world.messages:
        growing.grow()
    return thread_conversation(name, growing.texts, growing.parents)
