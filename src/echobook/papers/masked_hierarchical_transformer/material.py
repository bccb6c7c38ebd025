"""From channels, dialogues and generated threads to what training reads: vectors, structure, targets.

A :class:`Conversation` is a list of messages in time order of which some are *targets*: for each of them
the parent is to be found among the messages from its *start* on. In a thread (a single conversation, as on
Reddit) all messages but the first are targets and all earlier ones candidates; in a channel, candidates are
the last ``WINDOW`` messages and the target itself. System lines of IRC are left out there: they are linked
to themselves by rule in every arm alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from echobook.data.irc import Channel
from echobook.data.molweni import Dialogue
from echobook.dialogue.threads import ancestor_steps, clusters
from echobook.papers.masked_hierarchical_transformer.features import (
    channel_names,
    core,
    mentions,
    pair_features,
)

WINDOW = 32
LONGEST, SHORTEST = 20, 3  # messages of a thread
Encode = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Conversation:
    """Messages with their structure and the targets in it.

    Attributes:
        name: of the log, or of the thread.
        texts: of its messages.
        parents: of each message, positions in the conversation; itself for a start, none where unknown.
        targets: positions whose parent is to be found.
        starts: first candidate of each target.
        lines: number of each message in its log.
        features: of each target with each candidate, the target itself last; or none.
        speakers: of its messages, or none.
    """

    name: str
    texts: tuple[str, ...]
    parents: tuple[tuple[int, ...], ...]
    targets: tuple[int, ...]
    starts: tuple[int, ...]
    lines: tuple[int, ...]
    features: Float[np.ndarray, "Q L F"] | None = None
    speakers: tuple[str, ...] = ()

    @cached_property
    def steps(self) -> Int[np.ndarray, "N N"]:
        """True structure, see :func:`echobook.dialogue.threads.ancestor_steps`."""
        return ancestor_steps(self.parents)

    @property
    def gold(self) -> tuple[tuple[int, ...], ...]:
        """True parents of each target."""
        return tuple(self.parents[target] for target in self.targets)


@dataclass(frozen=True)
class Pool:
    """Conversations with a vector for each message, in one array.

    Attributes:
        conversations: in order.
        vectors: of all their messages, float32.
    """

    conversations: tuple[Conversation, ...]
    vectors: Float[np.ndarray, "M D"]

    @cached_property
    def firsts(self) -> tuple[int, ...]:
        """Row of the first message of each conversation."""
        sizes = [len(one.texts) for one in self.conversations]
        return tuple(np.cumsum([0, *sizes])[:-1].tolist())

    @cached_property
    def cases(self) -> tuple[tuple[int, int], ...]:
        """Every target: number of its conversation, and its number there."""
        return tuple(
            (number, place)
            for number, one in enumerate(self.conversations)
            for place in range(len(one.targets))
        )

    @property
    def trainable(self) -> tuple[tuple[int, int], ...]:
        """Targets with a true parent among their candidates."""
        found = []
        for number, place in self.cases:
            one = self.conversations[number]
            if any(parent >= one.starts[place] for parent in one.gold[place]):
                found.append((number, place))
        return tuple(found)


def make_pool(conversations: Sequence[Conversation], encode: Encode) -> Pool:
    """Encode every message once; a blank text is read as a full stop."""
    texts = [text.strip() or "." for one in conversations for text in one.texts]
    return Pool(tuple(conversations), np.asarray(encode(texts), dtype=np.float32))


def channel_conversation(channel: Channel, *, window: int = WINDOW, features: bool = True) -> Conversation:
    """A channel without its system lines, from ``window`` messages before the first annotated one on."""
    spoken = [line for line, message in enumerate(channel.messages) if not message.system]
    first = next((place for place, line in enumerate(spoken) if line >= channel.first), len(spoken))
    lines = spoken[max(0, first - window) :]
    place_of = {line: place for place, line in enumerate(lines)}
    links = (channel.links.get(line, ()) for line in lines)
    parents = tuple(tuple(place_of[p] for p in above if p in place_of) for above in links)
    targets = tuple(place_of[line] for line in lines if line >= channel.first)
    starts = tuple(max(0, target - window) for target in targets)
    found = None
    if features and targets:
        wide = np.array(targets)[:, None] + np.arange(-window, 1)
        candidates = np.array(lines)[np.maximum(0, wide)]
        found = pair_features(channel, np.array(lines)[list(targets)], candidates).astype(np.float16)
    texts = tuple(channel.messages[line].text for line in lines)
    speakers = tuple(core(channel.messages[line].speaker) for line in lines)
    return Conversation(channel.name, texts, parents, targets, starts, tuple(lines), found, speakers)


def without_names(text: str, names: frozenset[str]) -> str:
    """A text without the words that are names of the channel."""
    kept = [word for word in text.split() if not mentions(word, names)]
    return " ".join(kept)


def thread_conversation(
    name: str, texts: Sequence[str], parents: Sequence[Sequence[int]], lines: Sequence[int] = ()
) -> Conversation:
    """A thread: all messages but the first are targets, all earlier ones candidates."""
    whole = tuple(tuple(int(parent) for parent in above) for above in parents)
    targets = tuple(range(1, len(texts)))
    lines = tuple(lines) or tuple(range(len(texts)))
    return Conversation(name, tuple(texts), whole, targets, (0,) * len(targets), tuple(lines))


def channel_threads(channel: Channel, *, names: bool = False) -> list[Conversation]:
    """The whole conversations of a channel: 3 to 20 messages, a self-linked first one, all parents inside.

    Args:
        names: keep names of participants in the texts.
    """
    links = [(line, parent) for line, above in channel.links.items() for parent in above]
    labels = clusters(len(channel.messages), links)
    members: dict[int, list[int]] = {}
    for line in channel.annotated:
        members.setdefault(int(labels[line]), []).append(line)
    known = frozenset() if names else channel_names(channel.messages)
    threads = (_thread(channel, lines, known) for lines in members.values())
    return [one for one in threads if one is not None]


def _thread(channel: Channel, lines: list[int], names: frozenset[str]) -> Conversation | None:
    place_of = {line: place for place, line in enumerate(lines)}
    if not SHORTEST <= len(lines) <= LONGEST or channel.links[lines[0]] != (lines[0],):
        return None
    if any(parent not in place_of or parent == line for line in lines[1:] for parent in channel.links[line]):
        return None
    parents = [tuple(place_of[parent] for parent in channel.links[line]) for line in lines]
    texts = [without_names(channel.messages[line].text, names) for line in lines]
    return thread_conversation(f"{channel.name}:{lines[0]}", texts, parents, lines)


def dialogue_thread(dialogue: Dialogue) -> Conversation:
    """A dialogue of Molweni without the names of its speakers; a turn without a relation is no target."""
    names = frozenset(core(name) for name in dialogue.speakers if len(name) > 2)
    texts = [without_names(text, names) for text in dialogue.texts]
    whole = thread_conversation(dialogue.id, texts, dialogue.parents)
    targets = tuple(turn for turn in whole.targets if dialogue.parents[turn])
    return Conversation(whole.name, whole.texts, whole.parents, targets, (0,) * len(targets), whole.lines)
