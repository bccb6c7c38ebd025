"""Reply structure of a conversation: ancestors, conversations as clusters, and the scores of both.

A conversation is a list of N messages in time order. Its structure is, for each message, the tuple of its
*parents*: earlier messages that it answers. A message without parents, or linked to itself, starts a
conversation. Links are pairs (message, parent); a link to oneself marks a start and counts as a link.

Scores follow Kummerfeld et al. (2019), whose evaluation scripts define them for IRC:

- links: precision, recall and F1 over the pairs, self-links included;
- conversations are the connected components of the links;
- scaled VI: 1 - (H(X|Y) + H(Y|X)) / log2 N, Meila's variation of information over its bound; 1 is perfect;
- 1-1: share of messages kept when predicted and true conversations are paired one to one so that the
  overlap is largest (an assignment problem, solved by `scipy.optimize.linear_sum_assignment`);
- exact match: precision, recall and F1 over whole conversations of at least two messages.

All scores are shares in [0, 1]. Letters: N messages, E links, K conversations; M = N, refused otherwise.
Time: ancestors O(N E) in numpy rows; clusters O(N + E); VI and exact match O(N); 1-1 O(K^3)."""

from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Link = tuple[int, int]


class ThreadError(ValueError):
    """A reply structure that cannot be meant; the message is named."""


class Scores(NamedTuple):
    """Precision, recall and F1, each in [0, 1]."""

    precision: float
    recall: float
    f1: float


def find_cycle(parents: Sequence[Sequence[int]]) -> list[int]:
    """Messages that answer each other in a circle, first one repeated at the end; empty where none do.

    Self-links are starts, not circles. Parents may be in any order here, also later than the message.
    """
    state = [0] * len(parents)  # 0 unseen, 1 on the path, 2 done
    for root in range(len(parents)):
        path, stack = [], [(root, 0)]
        while stack:
            message, tried = stack.pop()
            if tried == 0:
                if state[message] == 2:
                    continue
                state[message] = 1
                path.append(message)
            above = [parent for parent in parents[message] if parent != message]
            if tried == len(above):
                state[message] = 2
                path.pop()
                continue
            stack.append((message, tried + 1))
            if state[above[tried]] == 1:
                return [*path[path.index(above[tried]) :], above[tried]]
            stack.append((above[tried], 0))
    return []


def ancestor_steps(parents: Sequence[Sequence[int]]) -> Int[np.ndarray, "N N"]:
    """Steps from each message (row) up to each of its ancestors (column); 0 where a column is no ancestor.

    With several parents the ancestors are the union over them, and the steps those of the shortest way.

    Args:
        parents: of each message, positions in the list; a self-link adds nothing.

    Returns:
        int16 matrix; row i holds 1 at the parents of i, 2 at their parents, and so on.

    Raises:
        ThreadError: a parent that is not in the list, or comes after its message.
    """
    steps = np.zeros((len(parents), len(parents)), dtype=np.int16)
    for message, above in enumerate(parents):
        add_ancestors(steps, message, above)
    return steps


def add_ancestors(steps: Int[np.ndarray, "N N"], message: int, parents: Iterable[int]) -> None:
    """Fill one message's row of :func:`ancestor_steps` from its parents' rows, in place.

    Raises:
        ThreadError: as :func:`ancestor_steps`.
    """
    far = np.iinfo(np.int16).max
    best = np.full(len(steps), far, dtype=np.int16)
    for parent in parents:
        if not 0 <= parent < len(steps):
            raise ThreadError(f"message {message}: parent {parent} is not one of 0 to {len(steps) - 1}")
        if parent > message:
            raise ThreadError(f"message {message}: parent {parent} comes after it; expected an earlier one")
        if parent < message:
            above = steps[parent]
            np.minimum(best, np.where(above > 0, above + 1, far), out=best)
            best[parent] = 1
    steps[message] = np.where(best == far, 0, best)


def clusters(count: int, links: Iterable[Link]) -> Int[np.ndarray, " N"]:
    """Conversation number of each of ``count`` messages: connected components, numbered by first message.

    Raises:
        ThreadError: a link to a message that is not there.
    """
    pairs = np.array(list(links), dtype=np.int64).reshape(-1, 2)
    if len(pairs) and not (pairs.min() >= 0 and pairs.max() < count):
        bad = next(tuple(pair) for pair in pairs.tolist() if not all(0 <= end < count for end in pair))
        raise ThreadError(f"link {bad}: expected messages 0 to {count - 1}")
    graph = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    found = connected_components(graph, directed=False)[1]
    return _by_first(found)


def _by_first(labels: Int[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    """The same partition, its parts numbered from 0 in the order of their first members."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse.reshape(-1)]


def link_scores(gold: Collection[Hashable], predicted: Collection[Hashable]) -> Scores:
    """Precision, recall and F1 of links (message, parent); self-links are links.

    Links may be marked further (by a channel's number): they are compared whole.
    """
    true, found = set(gold), set(predicted)
    return _scores(len(true & found), len(true), len(found))


def _scores(matched: int, gold: int, predicted: int) -> Scores:
    precision = matched / predicted if predicted else 0.0
    recall = matched / gold if gold else 0.0
    return Scores(precision, recall, 2 * matched / (gold + predicted) if gold + predicted else 0.0)


def scaled_vi(gold: Int[np.ndarray, " N"], predicted: Int[np.ndarray, " M"]) -> float:
    """1 - variation of information / log2 N, of two labellings of the same messages; 1 for equal ones.

    Raises:
        ThreadError: labellings of unequal length, or of fewer than two messages.
    """
    table = _contingency(gold, predicted)
    if len(gold) < 2:
        raise ThreadError(f"scaled VI: expected at least 2 messages, got {len(gold)}")
    joint = _entropy(table.data)
    variation = 2 * joint - _entropy(table.sum(axis=0)) - _entropy(table.sum(axis=1))
    return float(1 - variation / np.log2(len(gold)))


def _contingency(gold: Int[np.ndarray, " N"], predicted: Int[np.ndarray, " M"]) -> coo_array:
    """Overlap of each true (row) with each predicted conversation (column)."""
    if len(gold) != len(predicted):
        raise ThreadError(f"expected labels of the same messages, got {len(gold)} and {len(predicted)}")
    rows, columns = _by_first(gold), _by_first(predicted)
    table = coo_array((np.ones(len(rows)), (rows, columns)))
    table.sum_duplicates()
    return table


def _entropy(counts: np.ndarray) -> float:
    """Entropy in bits of a distribution given by counts."""
    shares = np.asarray(counts, dtype=np.float64).reshape(-1)
    shares = shares[shares > 0] / shares.sum()
    return float(-(shares * np.log2(shares)).sum())


def one_to_one(gold: Int[np.ndarray, " N"], predicted: Int[np.ndarray, " M"]) -> float:
    """Largest share of messages that a one-to-one pairing of conversations keeps together.

    Raises:
        ThreadError: labellings of unequal length, or no message.
    """
    if not len(gold):
        raise ThreadError("1-1: expected at least one message, got none")
    dense = _contingency(gold, predicted).toarray()
    rows, columns = linear_sum_assignment(dense, maximize=True)
    return float(dense[rows, columns].sum() / len(gold))


def exact_match(
    gold: Int[np.ndarray, " N"], predicted: Int[np.ndarray, " M"], *, smallest: int = 2
) -> Scores:
    """Precision, recall and F1 over conversations of at least ``smallest`` messages, matched exactly.

    Raises:
        ThreadError: labellings of unequal length.
    """
    if len(gold) != len(predicted):
        raise ThreadError(f"expected labels of the same messages, got {len(gold)} and {len(predicted)}")
    true, found = (_groups(labels, smallest) for labels in (gold, predicted))
    return _scores(len(true & found), len(true), len(found))


def _groups(labels: Int[np.ndarray, " N"], smallest: int) -> set[tuple[int, ...]]:
    """The members of each conversation that is large enough."""
    members: dict[int, list[int]] = {}
    for message, label in enumerate(labels.tolist()):
        members.setdefault(label, []).append(message)
    return {tuple(group) for group in members.values() if len(group) >= smallest}
