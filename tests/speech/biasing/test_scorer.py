"""Biased and unbiased WER: by hand, against plain recursion, properties, refusals."""

import random
from functools import cache

import pytest

from echobook.metrics.wer import ErrorCounts
from echobook.speech.biasing.scorer import (
    align,
    biased_word_errors,
    count_biased_errors,
    total_biased,
)


def cheapest(reference, hypothesis):
    """Cost of the best alignment by plain recursion."""

    @cache
    def cost(i, j):
        if i == 0 or j == 0:
            return 3 * (i + j)
        same = reference[i - 1] == hypothesis[j - 1]
        return min(cost(i - 1, j - 1) + (0 if same else 4), cost(i, j - 1) + 3, cost(i - 1, j) + 3)

    return cost(len(reference), len(hypothesis))


def price(pairs):
    return sum(3 if None in pair else 0 if pair[0] == pair[1] else 4 for pair in pairs)


def test_by_hand():
    found = count_biased_errors("call meg bauer now", "call meg power now please", {"bauer", "meg"})
    assert found.overall == ErrorCounts(1, 0, 1, 4)
    assert found.biased == ErrorCounts(1, 0, 0, 2)
    assert found.unbiased == ErrorCounts(0, 0, 1, 2)


def test_an_inserted_word_is_biased_only_if_it_is_listed():
    assert count_biased_errors("call", "call bauer", {"bauer"}).biased == ErrorCounts(0, 0, 1, 0)
    assert count_biased_errors("call", "call power", {"bauer"}).unbiased == ErrorCounts(0, 0, 1, 1)


def test_a_deletion_belongs_to_its_reference_word():
    found = count_biased_errors("call bauer", "call", {"bauer"})
    assert (found.biased.deletions, found.unbiased.deletions) == (1, 0)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("a b", "b a", [("a", None), ("b", "b"), (None, "a")]),  # two gaps (6) beat two swaps (8)
        ("a b", "x", [("a", None), ("b", "x")]),  # read from the end, a pair before a gap
        ("a", "x y", [(None, "x"), ("a", "y")]),
        ("", "x", [(None, "x")]),
        ("a", "", [("a", None)]),
        ("", "", []),
    ],
)
def test_alignment_and_ties(reference, hypothesis, expected):
    assert align(reference.split(), hypothesis.split()) == expected


def test_alignments_are_cheapest_and_keep_all_words():
    rng = random.Random(0)
    for _ in range(300):
        left = tuple(rng.choices("abc", k=rng.randrange(6)))
        right = tuple(rng.choices("abc", k=rng.randrange(6)))
        pairs = align(left, right)
        assert price(pairs) == cheapest(left, right)
        assert tuple(a for a, _ in pairs if a) == left
        assert tuple(b for _, b in pairs if b) == right


def test_parts_sum_to_the_whole():
    rng = random.Random(1)
    texts = [" ".join(rng.choices("abcdef", k=rng.randrange(1, 8))) for _ in range(60)]
    rows = biased_word_errors(texts, texts[1:] + texts[:1], [set(rng.sample("abcdef", 2)) for _ in texts])
    for row in [*rows, total_biased(rows)]:
        assert row.overall == row.unbiased + row.biased
    assert total_biased([]).overall.words == 0


def test_refusals():
    with pytest.raises(ValueError, match="1 references, 2 hypotheses and 1 biasing lists"):
        biased_word_errors(["a"], ["a", "b"], [set()])
    with pytest.raises(ValueError, match="0 references"):
        biased_word_errors([], [], [])
    with pytest.raises(ValueError, match="references are empty"):
        _ = count_biased_errors("a", "a", set()).biased.rate
