"""Choosing a parent for every target, with the true history or with the one predicted so far, and scores.

Exactly one parent is chosen for each target, the candidate with the highest logit; in a channel the target
itself counts and means a start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from echobook.data.irc import Channel
from echobook.dialogue.threads import (
    Link,
    Scores,
    add_ancestors,
    clusters,
    exact_match,
    link_scores,
    one_to_one,
    scaled_vi,
)
from echobook.papers.masked_hierarchical_transformer.material import Conversation, Pool

Choices = list[list[int]]  # chosen position of each target, by conversation


def choose(scorer: Any, pool: Pool, *, self_link: bool) -> Choices:
    """Best parents with the true history: candidates are read with their true ancestors."""
    found: Choices = [[] for _ in pool.conversations]
    for (number, place), scores in zip(pool.cases, scorer.logits(pool, pool.cases), strict=True):
        found[number].append(_best(pool.conversations[number], place, scores, self_link))
    return found


def _best(one: Conversation, place: int, scores: Float[np.ndarray, " L"], self_link: bool) -> int:
    allowed = scores if self_link else scores[:-1]
    return one.starts[place] + int(np.argmax(allowed))


def choose_in_turn(scorer: Any, pool: Pool, *, self_link: bool) -> Choices:
    """Best parents with the history predicted so far: from left to right, ancestors are chosen ones."""
    steps = [np.zeros((len(one.texts),) * 2, dtype=np.int16) for one in pool.conversations]
    found: Choices = [[] for _ in pool.conversations]
    for place in range(max((len(one.targets) for one in pool.conversations), default=0)):
        cases = [(n, place) for n, one in enumerate(pool.conversations) if place < len(one.targets)]
        for (number, _), scores in zip(cases, scorer.logits(pool, cases, steps), strict=True):
            one = pool.conversations[number]
            chosen = _best(one, place, scores, self_link)
            found[number].append(chosen)
            add_ancestors(steps[number], one.targets[place], [chosen])
    return found


@dataclass(frozen=True)
class Hits:
    """Whether each target got a true parent, with the number of its conversation."""

    right: Float[np.ndarray, " Q"]
    groups: Int[np.ndarray, " Q"]

    @property
    def graph(self) -> float:
        """Graph accuracy: share of targets with a true parent."""
        return float(self.right.mean())

    @property
    def whole(self) -> Float[np.ndarray, " K"]:
        """For each conversation, whether every parent is right."""
        return np.array([self.right[self.groups == group].min() for group in np.unique(self.groups)])


def hits(pool: Pool, choices: Choices) -> Hits:
    """Compare choices with the true parents."""
    right, groups = [], []
    for number, (one, chosen) in enumerate(zip(pool.conversations, choices, strict=True)):
        right += [float(choice in gold) for choice, gold in zip(chosen, one.gold, strict=True)]
        groups += [number] * len(chosen)
    return Hits(np.array(right), np.array(groups, dtype=np.int64))


@dataclass(frozen=True)
class ChannelScores:
    """Scores of links and conversations over some channels, and whether each annotated message is right."""

    links: Scores
    vi: float
    one_to_one: float
    exact: Scores
    right: Float[np.ndarray, " N"]
    groups: Int[np.ndarray, " N"]
    gold_links: int

    @property
    def items(self) -> Float[np.ndarray, " N"]:
        """Contribution of each message to link F1, of which they are the mean.

        As every message has exactly one predicted link, F1 = 2 m / (N + gold links) with m right ones.
        """
        return self.right * (2 * len(self.right) / (len(self.right) + self.gold_links))


def channel_links(channel: Channel, one: Conversation, chosen: Sequence[int]) -> dict[int, int]:
    """The predicted parent of each annotated line; system lines are linked to themselves."""
    found = {line: line for line in channel.annotated if channel.messages[line].system}
    for target, parent in zip(one.targets, chosen, strict=True):
        found[one.lines[target]] = one.lines[parent]
    return dict(sorted(found.items()))


def score_channels(channels: Sequence[Channel], pool: Pool, choices: Choices) -> ChannelScores:
    """Link and conversation scores by the official definitions, pooled over the channels.

    Conversations are the components of the annotated messages and of those that either side links to.
    """
    gold: list[tuple[int, Link]] = []
    found: list[tuple[int, Link]] = []
    right, groups, offset = [], [], 0
    labels: tuple[list[int], list[int]] = ([], [])
    for number, (channel, one, chosen) in enumerate(zip(channels, pool.conversations, choices, strict=True)):
        predicted = channel_links(channel, one, chosen)
        true = [(line, parent) for line, above in channel.links.items() for parent in above]
        gold += [(number, link) for link in true]
        found += [(number, link) for link in predicted.items()]
        right += [float(parent in channel.links[line]) for line, parent in predicted.items()]
        groups += [number] * len(predicted)
        members = sorted({end for link in [*true, *predicted.items()] for end in link})
        for side, links in zip(labels, (true, list(predicted.items())), strict=True):
            side += (clusters(len(channel.messages), links)[members] + offset).tolist()
        offset += len(channel.messages)
    sides = [np.array(side, dtype=np.int64) for side in labels]
    return ChannelScores(
        link_scores(gold, found),
        scaled_vi(*sides),
        one_to_one(*sides),
        exact_match(*sides),
        np.array(right),
        np.array(groups, dtype=np.int64),
        len(gold),
    )
