"""WER: hand counts, an edit-distance loop, groups, bootstrap against exhaustive resampling, refusals."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.metrics.wer import (
    ErrorCounts,
    count_errors,
    paired_comparison,
    relative_reduction,
    total,
    wer_by_group,
    word_error_rate,
    word_errors,
)

SENTENCES = st.lists(st.sampled_from("abc"), max_size=6).map(" ".join)


def edit_distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def errors(count, words=10):
    return ErrorCounts(count, 0, 0, words)


def test_by_hand():
    # the [cat->bat] sat [on deleted] mat [now inserted]
    found = count_errors("the cat sat on mat", "the bat sat mat now")
    assert (found.words, found.errors) == (5, 3)
    assert count_errors("one two", "one three") == ErrorCounts(1, 0, 0, 2)
    assert count_errors("one two", "one") == ErrorCounts(0, 1, 0, 2)
    assert count_errors("one two", "one big two") == ErrorCounts(0, 0, 1, 2)


def test_empty_sides():
    assert count_errors("", "a b") == ErrorCounts(0, 0, 2, 0)
    assert count_errors(" a  b ", "") == ErrorCounts(0, 2, 0, 2)
    assert count_errors("", "") == ErrorCounts(0, 0, 0, 0)


def test_rate_pools_words_and_can_exceed_one():
    # 1 error in 1 word and 0 in 9: 0.1, not the mean of 1 and 0
    assert word_error_rate(["x", "a b c d e f g h i"], ["y", "a b c d e f g h i"]) == 0.1
    assert word_error_rate(["x"], ["a b c"]) == 3


@settings(max_examples=100, deadline=None)
@given(reference=SENTENCES, hypothesis=SENTENCES)
def test_errors_are_the_edit_distance(reference, hypothesis):
    found = count_errors(reference, hypothesis)
    assert found.errors == edit_distance(reference.split(), hypothesis.split())
    lengths = len(hypothesis.split()) - len(reference.split())
    assert found.insertions - found.deletions == lengths


def test_groups():
    counts = [errors(1), errors(3), ErrorCounts(0, 1, 1, 5), ErrorCounts(0, 0, 1, 0)]
    table = wer_by_group(counts, ["b", "a", "b", "z"]).set_index("group")
    assert list(table.index) == ["a", "b", "z"]
    assert table.loc["b", "wer"] == pytest.approx(3 / 15)
    assert table.loc["b", ["substitutions", "deletions", "insertions", "words", "utterances"]].tolist() == [
        1,
        1,
        1,
        15,
        2,
    ]
    assert math.isnan(table.loc["z", "wer"])
    assert total(counts).words == table["words"].sum()


def test_relative_reduction():
    assert relative_reduction(5.11, 5.9) == pytest.approx(0.1339, abs=1e-4)
    assert relative_reduction(2.0, 1.0) == -1


def test_bootstrap_against_all_resamples():
    new, old = [errors(0), errors(2), errors(5)], [errors(1), errors(6), errors(4)]
    exact = sorted(
        sum(new[i].errors - old[i].errors for i in draw) / 30
        for draw in itertools.product(range(3), repeat=3)
    )
    found = paired_comparison(new, old, seed=0, resamples=40_000, level=0.8)
    assert found.difference.estimate == pytest.approx(-4 / 30)
    # 27 equally likely draws; the 10 % and 90 % quantiles lie inside steps of 1/27, far from their edges
    assert found.difference.low == pytest.approx(np.quantile(exact, 0.1, method="inverted_cdf"))
    assert found.difference.high == pytest.approx(np.quantile(exact, 0.9, method="inverted_cdf"))
    assert found.share_better == pytest.approx(np.mean(np.array(exact) < 0), abs=0.01)
    assert found.reduction.estimate == pytest.approx(1 - 7 / 11)


def test_speakers_are_drawn_whole():
    # Within a speaker gains and losses cancel: over speakers there is no spread at all.
    new, old = [errors(2), errors(0)] * 4, [errors(1), errors(1)] * 4
    speakers = [i // 2 for i in range(8)]
    over_speakers = paired_comparison(new, old, seed=1, speakers=speakers, resamples=500)
    over_utterances = paired_comparison(new, old, seed=1, resamples=500)
    assert over_speakers.units == 4
    assert over_utterances.units == 8
    assert over_speakers.difference.low == over_speakers.difference.high == 0
    assert over_utterances.difference.low < 0 < over_utterances.difference.high


def test_same_system_and_same_seed():
    same = paired_comparison([errors(3), errors(1)], [errors(3), errors(1)], seed=0, resamples=100)
    assert (same.difference.low, same.difference.high, same.share_better) == (0, 0, 0)
    args = [errors(3), errors(1)], [errors(2), errors(4)]
    assert paired_comparison(*args, seed=5) == paired_comparison(*args, seed=5)


def test_blocks_do_not_matter():
    # more units than fit into one block of draws
    new, old = [errors(i % 3) for i in range(3000)], [errors(i % 4) for i in range(3000)]
    found = paired_comparison(new, old, seed=0, resamples=1500)
    assert found.difference.low < found.difference.estimate < found.difference.high < 0


def test_an_old_system_without_errors():
    found = paired_comparison([errors(1)], [errors(0)], seed=0, resamples=10)
    assert found.difference.estimate == pytest.approx(0.1)
    assert math.isnan(found.reduction.estimate)
    assert math.isnan(found.reduction.low)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: word_errors(["a"], []), "1 references and 0 hypotheses; expected equal numbers"),
        (lambda: word_errors([], []), "0 references"),
        (lambda: word_error_rate([""], ["a"]), "WER needs at least one reference word"),
        (lambda: wer_by_group([errors(1)], []), "1 utterances but 0 groups"),
        (lambda: relative_reduction(1.0, 0.0), "the rate to compare with is 0.0"),
        (lambda: relative_reduction(1.0, math.nan), "the rate to compare with is nan"),
        (lambda: paired_comparison([errors(1)], [], seed=0), "1 new, 0 old utterances and no speakers"),
        (lambda: paired_comparison([errors(1)], [errors(1)], seed=0, speakers=[1, 2]), "2 speakers"),
        (lambda: paired_comparison([errors(1, 2)], [errors(1, 3)], seed=0), "utterance 0 has different"),
        (lambda: paired_comparison([errors(1)], [errors(1)], seed=0, level=1.0), "0 < level < 1"),
        (lambda: paired_comparison([errors(0, 0)], [errors(0, 0)], seed=0), "expected reference words"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_interval_over_speakers_against_all_resamples():
    # speakers a (2 utterances), b, c: 27 equally likely draws of three speakers
    new, old = [errors(1), errors(2), errors(0), errors(5)], [errors(4), errors(1), errors(6), errors(5)]
    speakers = ["a", "a", "b", "c"]
    sums = {"a": (3, 5, 20), "b": (0, 6, 10), "c": (5, 5, 10)}
    rates = []
    for draw in itertools.product(sums, repeat=3):
        fewer, before, words = (sum(sums[s][k] for s in draw) for k in range(3))
        rates.append(((fewer - before) / words, 1 - fewer / before))
    found = paired_comparison(new, old, seed=0, speakers=speakers, resamples=40_000, level=0.8)
    assert found.units == 3
    for k, part in enumerate((found.difference, found.reduction)):
        exact = [rate[k] for rate in rates]
        assert part.low == pytest.approx(np.quantile(exact, 0.1, method="inverted_cdf"))
        assert part.high == pytest.approx(np.quantile(exact, 0.9, method="inverted_cdf"))
    assert found.difference.estimate == pytest.approx((8 - 16) / 40)
    assert found.reduction.estimate == pytest.approx(0.5)


def test_a_wider_level_contains_a_narrower_one():
    new, old = [errors(i % 3) for i in range(40)], [errors(i % 5) for i in range(40)]
    narrow, wide = (
        paired_comparison(new, old, seed=2, resamples=2000, level=v).difference for v in (0.5, 0.95)
    )
    assert wide.low < narrow.low < narrow.estimate < narrow.high < wide.high
    assert (wide.level, narrow.level) == (0.95, 0.5)


def test_swapping_the_systems_turns_the_difference_round():
    new, old = [errors(i % 3) for i in range(20)], [errors(1 + i % 4) for i in range(20)]
    there, back = (paired_comparison(*pair, seed=1, resamples=500) for pair in ((new, old), (old, new)))
    assert there.difference.estimate == pytest.approx(-back.difference.estimate)
    assert there.difference.low == pytest.approx(-back.difference.high)
    assert there.share_better > 0.5 > back.share_better


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.tuples(SENTENCES, SENTENCES, st.sampled_from("xyz")), min_size=1, max_size=8))
def test_cohorts_add_up_to_the_whole(rows):
    references, hypotheses, cohorts = zip(*rows, strict=True)
    counts = word_errors(references, hypotheses)
    table = wer_by_group(counts, cohorts)
    whole = total(counts)
    assert table[["substitutions", "deletions", "insertions"]].to_numpy().sum() == whole.errors
    assert table.words.sum() == whole.words
    assert table.utterances.sum() == len(rows)
    assert sorted(table.group) == sorted(set(cohorts))


def test_words_are_compared_as_they_stand():
    assert count_errors("Play it", "play it").substitutions == 1
    assert count_errors("play it.", "play it").substitutions == 1
    assert count_errors("play\tit\n", "play it").errors == 0
