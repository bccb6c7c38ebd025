"""Lexical baselines: hand counts, loops over words, properties, refusals."""

import math
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.text.lexical import bm25, count_collection, embedding_cosine, idf_overlap, tfidf_cosine, words

TEXTS = st.lists(
    st.lists(st.sampled_from("abcde"), min_size=1, max_size=7).map(" ".join), min_size=1, max_size=6
)
EXACT = 1e-12  # float64 sums of a few terms


def loop_idf(term, documents):
    holding = sum(term in words(text) for text in documents)
    return math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))


def loop_bm25(question, candidate, documents, k1=1.5, b=0.75):
    mean = sum(len(words(text)) for text in documents) / len(documents)
    counts, total = Counter(words(candidate)), 0.0
    for term in words(question):
        floor = k1 * (1 - b + b * len(words(candidate)) / mean)
        total += loop_idf(term, documents) * counts[term] * (k1 + 1) / (counts[term] + floor)
    return total


def loop_overlap(question, candidate, documents):
    asked = set(words(question))
    mass = sum(loop_idf(term, documents) for term in asked)
    return sum(loop_idf(term, documents) for term in asked & set(words(candidate))) / mass


def loop_cosine(question, candidate, documents):
    left, right = (
        {term: count * loop_idf(term, documents) for term, count in Counter(words(text)).items()}
        for text in (question, candidate)
    )
    norms = [math.sqrt(sum(value**2 for value in side.values())) for side in (left, right)]
    return sum(value * right.get(term, 0) for term, value in left.items()) / math.prod(norms)


def test_words():
    assert words("What's  U.S. GDP, 2020?") == ["what", "s", "u", "s", "gdp", "2020"]
    assert words("...") == []


def test_by_hand():
    documents = ["cat sat", "dog sat"]
    idf_cat, idf_sat = math.log(1 + 1.5 / 1.5), math.log(1 + 0.5 / 2.5)
    found = bm25(["cat sat"] * 2, documents)
    # both documents have the mean length, so f (k1 + 1) / (f + k1) = 1 for a count of one
    np.testing.assert_allclose(found, [idf_cat + idf_sat, idf_sat], atol=EXACT)
    np.testing.assert_allclose(
        idf_overlap(["cat sat"] * 2, documents), [1, idf_sat / (idf_cat + idf_sat)], atol=EXACT
    )


@given(TEXTS, TEXTS)
@settings(max_examples=50, deadline=None)
def test_loops_agree(questions, candidates):
    pairs = [(q, c) for q in questions for c in candidates]
    asked, held = map(list, zip(*pairs, strict=True))
    documents = list(dict.fromkeys(candidates))
    for kernel, loop in ((bm25, loop_bm25), (idf_overlap, loop_overlap), (tfidf_cosine, loop_cosine)):
        np.testing.assert_allclose(kernel(asked, held), [loop(q, c, documents) for q, c in pairs], atol=EXACT)


@given(TEXTS)
@settings(max_examples=40, deadline=None)
def test_ranges_and_no_shared_word(texts):
    questions = texts[::-1]
    assert (bm25(questions, texts) >= 0).all()
    for kernel in (idf_overlap, tfidf_cosine):
        found = kernel(questions, texts)
        assert ((found >= 0) & (found <= 1 + EXACT)).all()
        np.testing.assert_allclose(kernel(texts, texts), 1.0, atol=EXACT)
    for kernel in (bm25, idf_overlap, tfidf_cosine):
        assert not kernel(["zzz"] * len(texts), texts).any()


def test_order_of_pairs_does_not_matter():
    asked, held = ["a b", "c", "a a"], ["a c d", "b", "a b b c"]
    order = [2, 0, 1]
    for kernel in (bm25, idf_overlap, tfidf_cosine):
        found = kernel([asked[i] for i in order], [held[i] for i in order])
        np.testing.assert_allclose(found, kernel(asked, held)[order], atol=EXACT)


def test_limits_of_k1_and_b():
    held = ["a", "a a a b"]
    np.testing.assert_allclose(
        bm25(["a"] * 2, held, k1=0.0), bm25(["a"] * 2, ["a", "a b"], k1=0.0), atol=EXACT
    )
    collection = count_collection(["a x", "b y"])
    short, long = bm25(["a"] * 2, ["a", "a x x x x"], collection, b=0.0)
    assert short == pytest.approx(long, abs=EXACT)
    short, long = bm25(["a"] * 2, ["a", "a x x x x"], collection)
    assert short > long


def test_collection_counts_equal_texts_once_and_knows_the_question():
    collection = count_collection(["a b", "a b", "a c"], terms_of=["z"])
    assert collection.documents == 2
    assert collection.mean_length == 2
    assert dict(zip(collection.vocabulary, collection.frequencies, strict=True)) == {
        "a": 2,
        "b": 1,
        "c": 1,
        "z": 0,
    }
    assert (collection.idf > 0).all()


def test_text_without_words_scores_zero():
    for kernel in (bm25, idf_overlap, tfidf_cosine):
        assert kernel(["?", "a"], ["a", "!"]).tolist() == [0, 0]


def test_embedding_cosine():
    left, right = np.array([[1.0, 0.0], [3.0, 4.0]]), np.array([[1.0, 1.0], [-3.0, -4.0]])
    np.testing.assert_allclose(embedding_cosine(left, right), [math.sqrt(0.5), -1], atol=EXACT)
    with pytest.raises(ValueError, match="pair 1: a vector of length 0"):
        embedding_cosine(left, np.array([[1.0, 1.0], [0.0, 0.0]]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bm25(["a"], ["a", "b"]), "as many questions as candidates, got 1 and 2"),
        (lambda: bm25([], []), "at least one document with a word, got 0"),
        (lambda: count_collection(["..."]), "at least one document with a word, got 1"),
        (lambda: bm25(["a"], ["a"], k1=-1.0), re.escape("k1 >= 0 and 0 <= b <= 1, got k1=-1.0")),
        (lambda: bm25(["a"], ["a"], b=2.0), "b=2.0"),
        (lambda: idf_overlap("ab", "cd"), "one text"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
