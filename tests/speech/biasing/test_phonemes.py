"""Classes by hand, neighbours and distances against plain loops, refusals."""

import random

import pytest

from echobook.speech.biasing.phonemes import (
    BOUNDARY,
    CLASSES,
    PHONEMES,
    Neighbours,
    classes_of,
    edit_distance,
    join_words,
    spelled,
)

BAUER, POWER, TOWER = (classes_of(text.split()) for text in ("B AW ER", "P AW ER", "T AW ER"))


def test_classes_by_hand():
    assert (len(PHONEMES), CLASSES) == (39, 41)
    assert classes_of(["AA"]) == (2,)
    assert classes_of(["ZH"]) == (40,)
    labels = join_words([BAUER, POWER])
    assert spelled(labels) == "B AW ER | P AW ER"
    assert labels.count(BOUNDARY) == 1
    assert join_words([]) == ()


def test_neighbours_by_hand():
    near = Neighbours({"bauer": BAUER, "power": POWER, "tower": TOWER, "bower": BAUER, "owl": (6, 20)})
    assert near.of(BAUER) == ["power", "tower"]
    assert near.homophones(BAUER) == ["bauer", "bower"]
    assert near.of((6,)) == []


def substituted(left, right):
    return len(left) == len(right) and sum(a != b for a, b in zip(left, right, strict=True)) == 1


def test_neighbours_against_a_loop():
    rng = random.Random(0)
    words = {str(i): tuple(rng.choices((2, 3, 4), k=rng.randrange(1, 5))) for i in range(150)}
    near = Neighbours(words)
    for labels in words.values():
        assert sorted(near.of(labels)) == sorted(
            w for w, other in words.items() if substituted(labels, other)
        )


def plain_distance(left, right):
    if not left or not right:
        return len(left) + len(right)
    return min(
        plain_distance(left[1:], right[1:]) + (left[0] != right[0]),
        plain_distance(left[1:], right) + 1,
        plain_distance(left, right[1:]) + 1,
    )


def test_edit_distance_against_recursion():
    rng = random.Random(1)
    for _ in range(80):
        left, right = (tuple(rng.choices((2, 3, 4), k=rng.randrange(5))) for _ in range(2))
        assert edit_distance(left, right) == plain_distance(left, right) == edit_distance(right, left)


@pytest.mark.parametrize("phonemes", [[], ["B", "XX"], ["AW1"]])
def test_unknown_phonemes_are_refused(phonemes):
    with pytest.raises(ValueError, match="expected at least one of AA AE"):
        classes_of(phonemes)
