"""Batches against loops: padding, order, truncation, and that an order is a function of its arguments."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.text.batches import MULTIPLE, POOL, Encoded, encode_texts, epoch_batches, pad_batch

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=60).map(lambda values: np.array(values))


def encoded_of(lengths, pad=0):
    """Rows of counted tokens, the second half of each in segment 1."""
    ids = tuple(tuple(range(7, 7 + size)) for size in lengths)
    types = tuple(tuple(int(place >= size // 2) for place in range(size)) for size in lengths)
    return Encoded(ids, types, 0, pad)


class Letters:
    """A tokenizer of single letters in the library's form: [CLS] a [SEP] b [SEP], with 'a' = 10."""

    pad_token_id = 3

    def __init__(self):
        self.read = 0

    def __call__(self, first, second=None, *, truncation, max_length=None, **_):
        self.read += len(first)
        pairs = zip(first, second or [""] * len(first), strict=True)
        rows = [self.row(*pair, truncation and max_length) for pair in pairs]
        return {"input_ids": [ids for ids, _ in rows], "token_type_ids": [types for _, types in rows]}

    def row(self, a, b, limit):
        a, b = list(a.strip()), list(b.strip())
        special = 3 if b else 2
        while limit and len(a) + len(b) + special > limit:
            (a if len(a) > len(b) else b).pop()
        left = [1, *(ord(letter) - 87 for letter in a), 2]
        right = [*(ord(letter) - 87 for letter in b), 2] if b else []
        return left + right, [0] * len(left) + [1] * len(right)


@given(LENGTHS, st.integers(1, 9), st.integers(0, 5), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_every_row_comes_once_and_batches_are_full(lengths, size, seed, epoch):
    batches = epoch_batches(lengths, size, seed=seed, epoch=epoch)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    # one batch a pool may be short: the last one of the last pool
    assert sum(len(batch) < size for batch in batches) <= 1
    assert batches == epoch_batches(lengths.copy(), size, seed=seed, epoch=epoch)


def test_a_batch_is_a_slice_of_its_sorted_pool():
    lengths = np.random.default_rng(0).integers(1, 50, 4 * POOL * 3)
    batches = epoch_batches(lengths, 4, seed=2, epoch=1)
    random = np.random.default_rng([2, 1])
    order = random.permutation(len(lengths))
    expected = []
    for start in range(0, len(order), POOL * 4):
        pool = sorted(order[start : start + POOL * 4], key=lambda row: lengths[row])
        expected += [[int(row) for row in pool[place : place + 4]] for place in range(0, len(pool), 4)]
    assert sorted(batches) == sorted(expected)
    assert batches == [expected[place] for place in random.permutation(len(expected))]


def test_the_order_is_mixed():
    lengths = np.arange(1, 2 * POOL * 4 + 1)
    firsts = [batch[0] for batch in epoch_batches(lengths, 4, seed=0, epoch=0)]
    assert firsts != sorted(firsts)
    others = [epoch_batches(lengths, 4, seed=seed, epoch=epoch) for seed, epoch in ((0, 0), (1, 0), (0, 1))]
    assert others[0] != others[1] != others[2] != others[0]


@given(LENGTHS, st.sampled_from([1, 2, 8, MULTIPLE]), st.data())
@settings(max_examples=60, deadline=None)
def test_padding_equals_a_loop(lengths, multiple, data):
    encoded = encoded_of(lengths, pad=3)
    rows = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=6))
    batch = pad_batch(encoded, rows, multiple=multiple)
    width = batch.ids.shape[1]
    longest = max(lengths[row] for row in rows)
    assert longest <= width < longest + multiple
    assert width % multiple == 0
    for place, row in enumerate(rows):
        for token in range(width):
            inside = token < lengths[row]
            assert batch.ids[place, token] == (encoded.ids[row][token] if inside else 3)
            assert batch.types[place, token] == (encoded.types[row][token] if inside else 0)
            assert batch.mask[place, token] == int(inside)
    assert batch.ids.dtype == batch.mask.dtype == batch.types.dtype == torch.int64


@pytest.mark.parametrize("limit", [5, 6, 7, 12, 100])
def test_truncation_by_hand_written_tokenizer(limit):
    random, tokenizer = np.random.default_rng(limit), Letters()
    first, second = (
        ["".join(random.choice(list("abcdef"), int(random.integers(1, 12)))) for _ in range(30)] for _ in "12"
    )
    found = encode_texts(tokenizer, first, second, max_tokens=limit)
    expected = [tokenizer.row(a, b, limit) for a, b in zip(first, second, strict=True)]
    assert [list(ids) for ids in found.ids] == [ids for ids, _ in expected]
    assert [list(types) for types in found.types] == [types for _, types in expected]
    long = sum(len(a) + len(b) + 3 > limit for a, b in zip(first, second, strict=True))
    assert found.truncated == long
    assert tokenizer.read == 30 + long
    assert found.pad == 3
    assert len(found) == 30
    assert found.lengths.max() <= limit
    assert found.lengths.dtype == np.int64


def test_a_text_of_exactly_the_limit_is_not_cut():
    tokenizer = Letters()
    found = encode_texts(tokenizer, ["abc", "abcd"], max_tokens=5)
    assert found.truncated == 1
    assert found.ids == ((1, 10, 11, 12, 2), (1, 10, 11, 12, 2))
    assert found.types == ((0,) * 5, (0,) * 5)


@pytest.mark.parametrize("blank", ["", " ", "\t\n", "\u00a0"])
def test_blank_texts_are_named_by_side_and_place(blank):
    with pytest.raises(ValueError, match=r"second\[2\]: expected a text that is not blank"):
        encode_texts(Letters(), ["a"] * 4, ["b", "c", blank, "d"])


def test_limits_that_hold_no_pair_are_refused():
    for limit in (4, 0, -1):
        with pytest.raises(ValueError, match=f"max_tokens >= 5, got 1 and {limit}"):
            encode_texts(SimpleNamespace(), ["a"], ["b"], max_tokens=limit)
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got -3"):
        epoch_batches(np.array([1, 2]), -3, seed=0, epoch=0)
