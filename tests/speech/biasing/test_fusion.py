"""KMP fusion: by hand, against a plain search through all phrases at each step, properties, refusals."""

import random

import pytest

from echobook.speech.biasing.fusion import fusion_table, join_tables
from echobook.speech.biasing.phonemes import BLANK, BOUNDARY

A, B, C, D, V = 2, 3, 4, 5, 6
END = BOUNDARY


@pytest.mark.parametrize(
    ("labels", "bonus"),
    [
        ([A, B, C], 3),  # whole phrase
        ([A, B], 0),  # unfinished at the end: all given back
        ([A, B, D], 0),  # broken
        ([A, B, C, D], 0),  # a phrase inside a longer word
        ([D, A, B, C], 0),  # a phrase that starts inside a word
        ([A, B, C, END, D], 3),  # kept after completion
        ([D, END, A, B, C], 3),
        ([A, B, C, END, A, B, C], 6),  # matched twice
        ([A, B, END, C], 0),
        ([], 0),
    ],
)
def test_one_phrase_by_hand(labels, bonus):
    assert fusion_table([(A, B, C)], V).run(labels) == bonus


def test_bonus_comes_label_by_label_and_goes_back_at_once():
    table = fusion_table([(A, B, C)], V)
    first = int(table.following[0, A])
    second = int(table.following[first, B])
    assert (table.bonus[0, A], table.bonus[first, B]) == (1, 1)
    assert table.bonus[second, D] == -2
    assert int(table.following[second, D]) == len(table.following) - 1


def test_back_off_keeps_the_longest_prefix_that_still_matches():
    table = fusion_table([(A, END, B, END, C), (B, END, D)], V)
    assert table.run([A, END, B, END, D]) == 3  # falls back to "b |", then "b d" is whole
    assert table.run([A, END, B, END, C]) == 5


def test_a_phrase_that_begins_another_is_kept_when_the_longer_breaks():
    table = fusion_table([(A,), (A, END, B, C)], V)
    assert table.run([A, END, B, D]) == 1
    assert table.run([A, END, B, C]) == 4
    assert table.run([A, END, D]) == 1


def settled(phrases, run):
    """Length of the longest phrase that the run has gone beyond by a boundary."""
    return max((n for n in range(len(run)) if run[:n] in phrases and run[n] == END), default=0)


def reference(phrases, labels):
    """From the definition, with label strings and no automaton: every run is searched for from scratch."""
    begins = {p[:n] for p in phrases for n in range(len(p) + 1)}
    kept, start, place = 0, 0, 0  # bonus that stays, first label a match may use, where the run begins
    for n, label in enumerate(labels):
        run = labels[place:n]
        if (*run, label) in begins:
            continue
        if run in phrases and label == END:
            kept, start, place = kept + len(run), n + 1, n + 1
            continue
        kept += settled(phrases, run)
        word_starts = (i for i in range(max(place + 1, start), n + 2) if labels[i - 1] == END)
        place = next((i for i in word_starts if labels[i : n + 1] in begins), n + 1)
        if label != END and place == n + 1:
            end = labels[n:].index(END) + n if END in labels[n:] else len(labels)
            return kept + reference(phrases, labels[end + 1 :])  # inside a word: on from the next one
    run = labels[place:]
    return kept + (len(run) if run in phrases else settled(phrases, run))


def test_against_the_definition():
    rng = random.Random(0)

    def text(most):
        words = [tuple(rng.choices((A, B), k=rng.randrange(1, 3))) for _ in range(rng.randrange(1, most))]
        return tuple(label for i, word in enumerate(words) for label in ((END, *word) if i else word))

    for _ in range(400):
        phrases = {text(4) for _ in range(rng.randrange(1, 4))}
        table = fusion_table(sorted(phrases), V)
        labels = text(6)
        assert table.run(labels) == reference(phrases, labels), (phrases, labels)


def test_the_blank_moves_nothing_and_order_does_not_matter():
    phrases = [(A, B), (B, END, A), (A,)]
    one, two = fusion_table(phrases, V), fusion_table(phrases[::-1], V)
    assert one.run([A, BLANK, B]) == one.run([A, B]) == 2
    rng = random.Random(2)
    for _ in range(100):
        labels = rng.choices((A, B, END), k=7)
        assert one.run(labels) == two.run(labels)


def test_no_phrases_no_bonus():
    table = fusion_table([], V)
    assert table.bonus.abs().sum() == 0
    assert table.run([A, END, B]) == 0


@pytest.mark.parametrize("phrase", [(), (BLANK,), (V,), (END, A), (A, END)])
def test_bad_phrases_are_refused(phrase):
    with pytest.raises(ValueError, match=r"expected labels in 1\.\.5, at least one"):
        fusion_table([phrase], V)


def test_joined_tables_keep_apart():
    one, two = fusion_table([(A, B)], V), fusion_table([(C,)], V)
    joined, starts = join_tables([one, two])
    for table, start in zip((one, two), starts.tolist(), strict=True):
        for labels in ([A, B], [C], [A, END, C]):
            state, total = start, 0.0
            for label in labels:
                total += float(joined.bonus[state, label])
                state = int(joined.following[state, label])
            assert total + float(joined.end_bonus[state]) == table.run(labels)
    with pytest.raises(ValueError, match="no tables to join"):
        join_tables([])
