"""Thread kernel: cases by hand, slow versions, properties, refusals."""

import itertools
import math

import numpy as np
import pytest

from echobook.dialogue.threads import (
    ThreadError,
    add_ancestors,
    ancestor_steps,
    clusters,
    exact_match,
    find_cycle,
    link_scores,
    one_to_one,
    scaled_vi,
)

FIGURE = [(), (0,), (1,), (1,), (2,)]  # the paper's figure: 0 <- 1, 1 <- 2, 1 <- 3, 2 <- 4


def labels(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def random_parents(rng: np.random.Generator, count: int) -> list[tuple[int, ...]]:
    """Up to two earlier parents, a self-link now and then."""
    found: list[tuple[int, ...]] = []
    for message in range(count):
        size = int(rng.integers(0, 3))
        above = tuple(int(parent) for parent in rng.integers(0, message + 1, size))
        found.append(above)
    return found


def slow_steps(parents: list[tuple[int, ...]], message: int) -> dict[int, int]:
    """Breadth-first search upwards."""
    found: dict[int, int] = {}
    level, depth = {message}, 0
    while level:
        depth += 1
        level = {parent for child in level for parent in parents[child] if parent != child}
        level -= set(found)
        found.update(dict.fromkeys(level, depth))
    return found


def slow_partition(count: int, links: list[tuple[int, int]]) -> list[int]:
    """Smallest message that can be reached, by repeated passes."""
    lowest = list(range(count))
    for _ in range(count):
        for one, other in links:
            lowest[one] = lowest[other] = min(lowest[one], lowest[other])
    return lowest


def slow_one_to_one(gold: np.ndarray, predicted: np.ndarray) -> float:
    """Every pairing."""
    true, found = sorted(set(gold.tolist())), sorted(set(predicted.tolist()))
    if len(true) > len(found):
        true, found, gold, predicted = found, true, predicted, gold
    best = 0
    for chosen in itertools.permutations(found, len(true)):
        kept = sum(int(((gold == a) & (predicted == b)).sum()) for a, b in zip(true, chosen, strict=True))
        best = max(best, kept)
    return best / len(gold)


def slow_vi(gold: np.ndarray, predicted: np.ndarray) -> float:
    """H(X|Y) + H(Y|X) by sums over all pairs of labels."""
    n, total = len(gold), 0.0
    for a, b in itertools.product(set(gold.tolist()), set(predicted.tolist())):
        both = ((gold == a) & (predicted == b)).sum() / n
        if both:
            total -= both * (math.log2(both / (gold == a).mean()) + math.log2(both / (predicted == b).mean()))
    return 1 - total / math.log2(n)


def test_ancestors_of_the_papers_figure() -> None:
    expected = [[0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [2, 1, 0, 0, 0], [2, 1, 0, 0, 0], [3, 2, 1, 0, 0]]
    assert ancestor_steps(FIGURE).tolist() == expected


def test_several_parents_give_the_union_and_the_shortest_way() -> None:
    steps = ancestor_steps([(0,), (0,), (1,), (3,), (2, 0), (4, 3)])
    assert steps[4].tolist() == [1, 2, 1, 0, 0, 0]
    assert steps[5].tolist() == [2, 3, 2, 1, 1, 0]


def test_ancestors_equal_a_search_upwards() -> None:
    rng = np.random.default_rng(0)
    for count in (0, 1, 2, 7, 20):
        parents = random_parents(rng, count)
        steps = ancestor_steps(parents)
        for message in range(count):
            assert {int(j): int(steps[message, j]) for j in np.flatnonzero(steps[message])} == slow_steps(
                parents, message
            )


def test_a_row_may_be_added_when_its_parent_becomes_known() -> None:
    steps = ancestor_steps([*FIGURE[:4], ()])
    add_ancestors(steps, 4, (2,))
    assert (steps == ancestor_steps(FIGURE)).all()


@pytest.mark.parametrize(
    ("parents", "message"),
    [([(), (2,), ()], "message 1: parent 2 comes after it"), ([(), (-1,)], "parent -1 is not one of 0 to 1")],
)
def test_impossible_parents_are_refused(parents: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ThreadError, match=message):
        ancestor_steps(parents)


def test_cycles_are_found_and_starts_are_none() -> None:
    assert find_cycle([(0,), (0,), (1, 0)]) == []
    assert find_cycle([(), (2,), (3,), (1,)]) == [1, 2, 3, 1]
    assert find_cycle([(1,), (0,)]) == [0, 1, 0]
    assert find_cycle([]) == []
    chain = [(i + 1,) for i in range(5000)] + [()]
    assert find_cycle(chain) == []  # no recursion limit


def test_clusters_by_hand() -> None:
    assert clusters(6, [(0, 0), (2, 0), (3, 1), (4, 2)]).tolist() == [0, 1, 0, 1, 0, 2]
    assert clusters(3, []).tolist() == [0, 1, 2]
    assert clusters(0, []).tolist() == []
    with pytest.raises(ThreadError, match=r"link \(3, 1\): expected messages 0 to 2"):
        clusters(3, [(1, 0), (3, 1)])


def test_clusters_equal_a_slow_partition() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        count = int(rng.integers(1, 15))
        links = [tuple(map(int, rng.integers(0, count, 2))) for _ in range(count)]
        slow = slow_partition(count, links)
        found = clusters(count, links)
        same = [[a == b for b in slow] for a in slow]
        assert (found[:, None] == found[None, :]).tolist() == same


def test_link_scores_by_hand() -> None:
    gold = {(1, 0), (2, 2), (3, 1), (3, 2)}
    found = link_scores(gold, [(1, 0), (2, 2), (3, 0)])
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(2 / 4)
    assert found.f1 == pytest.approx(4 / 7)
    assert link_scores(gold, []) == (0.0, 0.0, 0.0)
    assert link_scores([], []) == (0.0, 0.0, 0.0)
    assert link_scores(gold, gold) == (1.0, 1.0, 1.0)


def test_the_published_example_of_links() -> None:
    """Kummerfeld's README: 2607 gold and 2500 predicted links, 1855 matched, are 74.2 / 71.2 / 72.6."""
    gold = [(i, 0) for i in range(2607)]
    found = link_scores(gold, [(i, 0) for i in range(1855)] + [(i, 1) for i in range(1855, 2500)])
    assert [round(100 * value, 1) for value in found] == [74.2, 71.2, 72.6]


def test_cluster_scores_by_hand() -> None:
    gold, found = labels(0, 0, 0, 1, 1, 2), labels(0, 0, 1, 1, 1, 2)
    # pairs kept: {0, 1} of the first, {3, 4} of the second, {5}
    assert one_to_one(gold, found) == pytest.approx(5 / 6)
    # conversations of two and more: gold {0,1,2} {3,4}, found {0,1} {2,3,4}: none alike; {5} is too small
    assert exact_match(gold, found) == (0.0, 0.0, 0.0)
    assert exact_match(gold, found, smallest=1).f1 == pytest.approx(1 / 3)
    assert exact_match(labels(0, 0, 1, 1, 2), labels(0, 0, 1, 2, 2)).f1 == pytest.approx(0.5)
    # one conversation against single messages: H(found | gold) = log2 4 is the bound
    assert scaled_vi(labels(0, 0, 0, 0), labels(0, 1, 2, 3)) == pytest.approx(0.0)
    # halves cut once: H(X|Y) = 0, H(Y|X) = 1/2 bit of 2
    assert scaled_vi(labels(0, 0, 1, 1), labels(0, 0, 1, 2)) == pytest.approx(1 - 0.5 / 2)


def test_cluster_scores_equal_slow_versions() -> None:
    rng = np.random.default_rng(2)
    for _ in range(30):
        count = int(rng.integers(2, 12))
        gold, found = rng.integers(0, 4, count), rng.integers(0, 5, count)
        assert one_to_one(gold, found) == pytest.approx(slow_one_to_one(gold, found))
        assert scaled_vi(gold, found) == pytest.approx(slow_vi(gold, found))


def test_cluster_scores_do_not_look_at_names_and_are_symmetric() -> None:
    rng = np.random.default_rng(3)
    gold, found = rng.integers(0, 6, 50), rng.integers(0, 6, 50)
    renamed = np.array([7, 3, 11, 0, 5, 2])[found]
    for score in (scaled_vi, one_to_one):
        assert score(gold, renamed) == pytest.approx(score(gold, found))
        assert score(gold, found) == pytest.approx(score(found, gold))
        assert score(gold, gold) == pytest.approx(1.0)
        assert 0 <= score(gold, found) < 1
    swapped = exact_match(found, gold)
    assert exact_match(gold, found) == (swapped.recall, swapped.precision, swapped.f1)


def test_unequal_and_empty_labellings_are_refused() -> None:
    for score in (scaled_vi, one_to_one, exact_match):
        with pytest.raises(ThreadError, match="got 2 and 1"):
            score(labels(0, 1), labels(0))
    with pytest.raises(ThreadError, match="at least 2"):
        scaled_vi(labels(0), labels(0))
    with pytest.raises(ThreadError, match="at least one"):
        one_to_one(labels(), labels())
