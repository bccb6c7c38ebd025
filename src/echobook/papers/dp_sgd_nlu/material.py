"""From a corpus to what training reads: numbers of words, tags and intents, in four disjoint parts.

*members* are trained on, *others* are as many utterances of the same kind that are not: the attack has to
tell the two apart. *dev* chooses learning rates and stopping points; *test* is for the recorded figures.
Canaries are members whose intent is drawn at random. Word numbers: 0 padding, 1 unknown; a word is known
when dev holds it: words of the members would tell them from the others, and no accountant counts that."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from echobook.data.generators.commands import generate_commands
from echobook.data.slots import SlotCorpus, Tagged, load_slots
from echobook.data.types import DatasetUse
from echobook.privacy.taps import PrivacyError

PADDING, UNKNOWN = 0, 1
NO_TAG = -100
PARTS = ("members", "others", "dev", "test")


@dataclass(frozen=True)
class Batch:
    """Padded utterances: words (B, T), mask (B, T) with 1 for a word, tags (B, T) with -100 for padding,
    intents (B,).
    """

    words: Int[Tensor, "B T"]
    mask: Float[Tensor, "B T"]
    tags: Int[Tensor, "B T"]
    intents: Int[Tensor, "B"]


@dataclass(frozen=True)
class Coded:
    """Utterances as numbers, and the names behind the numbers."""

    words: list[list[int]]
    tags: list[list[int]]
    intents: list[int]

    def __len__(self) -> int:
        return len(self.intents)

    def batch(self, numbers: Sequence[int] | Int[Tensor, "B"]) -> Batch:
        """The utterances of the given numbers, padded to the longest of them."""
        rows = [int(number) for number in numbers]
        width = max((len(self.words[row]) for row in rows), default=1)
        words = torch.full((len(rows), width), PADDING)
        tags = torch.full((len(rows), width), NO_TAG)
        for place, row in enumerate(rows):
            size = len(self.words[row])
            words[place, :size] = torch.tensor(self.words[row])
            tags[place, :size] = torch.tensor(self.tags[row])
        mask = (tags != NO_TAG).float()
        return Batch(words, mask, tags, torch.tensor([self.intents[row] for row in rows]))


@dataclass(frozen=True)
class Material:
    """All parts of one seed, the vocabularies, and which members are canaries."""

    parts: dict[str, list[Tagged]]
    coded: dict[str, Coded]
    vocabulary: list[str]
    tags: list[str]
    intents: list[str]
    canaries: Int[np.ndarray, "N"]
    use: DatasetUse


def split_parts(
    utterances: Sequence[Tagged], sizes: dict[str, int], rng: np.random.Generator
) -> dict[str, list[Tagged]]:
    """Deal utterances into parts without overlap; PrivacyError when there are too few."""
    wanted = sum(sizes.values())
    if wanted > len(utterances):
        raise PrivacyError(f"expected at least {wanted} utterances for {sizes}, found {len(utterances)}")
    order = rng.permutation(len(utterances))
    edges = np.cumsum([0, *sizes.values()])
    return {
        part: [utterances[i] for i in order[start:stop]]
        for part, start, stop in zip(sizes, edges[:-1], edges[1:], strict=True)
    }


def plant_canaries(
    members: Sequence[Tagged], count: int, intents: Sequence[str], rng: np.random.Generator
) -> tuple[list[Tagged], Int[np.ndarray, "N"]]:
    """Give `count` members a random other intent; return the members and the numbers of the canaries."""
    if not 0 <= count <= len(members):
        raise PrivacyError(f"canaries: expected between 0 and {len(members)}, found {count}")
    chosen = np.sort(rng.choice(len(members), size=count, replace=False))
    planted = list(members)
    for number in chosen:
        wrong = [intent for intent in intents if intent != planted[number].intent]
        planted[number] = planted[number]._replace(intent=str(rng.choice(wrong)))
    return planted, chosen


def code(
    parts: dict[str, list[Tagged]], tags: list[str], intents: list[str]
) -> tuple[dict[str, Coded], list[str]]:
    """Numbers for all parts, and the vocabulary: words of dev, which no private step reads."""
    known = sorted({word.lower() for row in parts["dev"] for word in row.words})
    number = {word: place + 2 for place, word in enumerate(known)}
    tag_of, intent_of = ({name: i for i, name in enumerate(names)} for names in (tags, intents))
    coded = {
        part: Coded(
            [[number.get(word.lower(), UNKNOWN) for word in row.words] for row in rows],
            [[tag_of[tag] for tag in row.tags] for row in rows],
            [intent_of[row.intent] for row in rows],
        )
        for part, rows in parts.items()
    }
    return coded, ["<pad>", "<unknown>", *known]


def build_material(corpus: SlotCorpus, *, sizes: dict[str, int], canaries: int, seed: int) -> Material:
    """Deal, plant and code a corpus; the same seed gives the same parts.

    The label sets are those of the whole corpus, as a product's would be: fixed before any user speaks.
    """
    rng = np.random.default_rng([seed, 99])
    utterances = [row for rows in corpus.splits.values() for row in rows]
    tags = sorted({tag for row in utterances for tag in row.tags})
    intents = sorted({row.intent for row in utterances})
    parts = split_parts(utterances, sizes, rng)
    parts["members"], chosen = plant_canaries(parts["members"], canaries, intents, rng)
    coded, vocabulary = code(parts, tags, intents)
    return Material(parts, coded, vocabulary, tags, intents, chosen, corpus.use)


def load_material(name: str, *, size: int, test: int, canaries: int, seed: int) -> Material:
    """Material of a public corpus, or of generated commands (name ``commands``): `size` members, others and
    dev each.
    """
    sizes = {"members": size, "others": size, "dev": size, "test": test}
    if name == "commands":
        corpus = generate_commands(seed=seed, sizes={"all": sum(sizes.values())})
    else:
        corpus = load_slots(name)
    return build_material(corpus, sizes=sizes, canaries=canaries, seed=seed)
