"""Ranking: hand counts, scikit-learn, enumeration of all tied orders, groups and modes, refusals."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from echobook.metrics.ranking import (
    METRICS,
    average_precision,
    both_tie_rules,
    ndcg,
    precision_at_1,
    rank_questions,
    reciprocal_rank,
)

KERNELS = (average_precision, reciprocal_rank, precision_at_1, ndcg)
EXACT = 1e-12  # float64 sums of at most a few dozen terms of size one

ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=6)


def arrays(rows):
    scores, labels = zip(*rows, strict=True)
    return np.array(scores, dtype=float), np.array(labels)


def plain(labels):
    """The four metrics of an order without ties, by their definitions."""
    relevant = [label > 0 for label in labels]
    precisions = [sum(relevant[: k + 1]) / (k + 1) for k in range(len(labels)) if relevant[k]]
    first = next((1 / (k + 1) for k, hit in enumerate(relevant) if hit), 0.0)
    gain = sum((2**label - 1) / math.log2(k + 2) for k, label in enumerate(labels))
    best = sum((2**label - 1) / math.log2(k + 2) for k, label in enumerate(sorted(labels, reverse=True)))
    ap = sum(precisions) / len(precisions) if precisions else 0.0
    return ap, first, float(relevant[0]), gain / best if best else 0.0


def enumerated(scores, labels):
    """Mean over all orders of the candidates that are sorted by score."""
    orders = [
        order
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    return np.mean([plain([labels[i] for i in order]) for order in orders], axis=0)


def test_by_hand():
    scores, labels = arrays([(0.9, 0), (0.8, 1), (0.7, 0), (0.6, 1)])
    assert average_precision(scores, labels) == pytest.approx((1 / 2 + 2 / 4) / 2, abs=EXACT)
    assert reciprocal_rank(scores, labels) == 1 / 2
    assert precision_at_1(scores, labels) == 0
    found = (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3))
    assert ndcg(scores, labels) == pytest.approx(found, abs=EXACT)
    assert ndcg(scores, labels, cutoff=1) == 0


def test_tie_by_hand():
    scores, labels = arrays([(1, 0), (1, 1), (0, 0)])
    assert average_precision(scores, labels) == 0.75  # (1 + 1/2) / 2
    assert average_precision(scores, labels, ties="positive-first") == 1
    assert precision_at_1(scores, labels) == 0.5


def test_equal_scores_are_perfect_only_under_the_positive_first_rule():
    questions, scores, labels = ["a"] * 10, np.zeros(10), np.array([0] * 9 + [1])
    found = both_tie_rules(questions, scores, labels)
    assert found["positive-first"].means() == dict.fromkeys(METRICS, 1.0)
    assert found["expected"].map == pytest.approx(sum(1 / k for k in range(1, 11)) / 10, abs=EXACT)
    assert found["expected"].p1 == pytest.approx(0.1, abs=EXACT)
    assert found["expected"].contested == found["positive-first"].contested == 1


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_expected_rule_is_the_mean_over_all_tied_orders(rows):
    scores, labels = arrays(rows)
    np.testing.assert_allclose(
        [kernel(scores, labels) for kernel in KERNELS], enumerated(scores, labels), atol=EXACT
    )


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_positive_first_is_the_reverse_sort_of_pairs(rows):
    scores, labels = arrays(rows)
    order = sorted(zip(scores, labels, strict=True), reverse=True)
    expected = plain([label for _, label in order])
    found = [kernel(scores, labels, ties="positive-first") for kernel in KERNELS]
    np.testing.assert_allclose(found, expected, atol=EXACT)
    blind = [kernel(scores, labels) for kernel in KERNELS]
    assert all(a >= b - EXACT for a, b in zip(found, blind, strict=True))


@given(ROWS, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_row_order_and_monotone_change_of_scores_do_not_matter(rows, random):
    scores, labels = arrays(rows)
    order = random.sample(range(len(rows)), len(rows))
    for kernel in KERNELS:
        found = kernel(np.exp(scores[order]) * 3 - 1, labels[order])
        assert found == pytest.approx(kernel(scores, labels), abs=EXACT)
        assert 0 <= found <= 1 + EXACT


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_scikit_learn_without_ties(seed):
    random = np.random.default_rng(seed)
    size = int(random.integers(2, 60))
    scores, labels = random.permutation(size) / size, random.integers(0, 2, size)
    labels[0] = 1
    assert average_precision(scores, labels) == pytest.approx(
        average_precision_score(labels, scores), abs=EXACT
    )
    assert ndcg(scores, labels, cutoff=5) == pytest.approx(ndcg_score([labels], [scores], k=5), abs=EXACT)


def test_long_tie_does_not_overflow():
    labels = np.zeros(2000, dtype=int)
    labels[:700] = 1
    found = reciprocal_rank(np.zeros(2000), labels)
    assert found == pytest.approx(sum(0.35 * 0.65 ** (i - 1) / i for i in range(1, 60)), abs=1e-3)


def test_evaluator_of_sentence_transformers_agrees():
    from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator

    random = np.random.default_rng(3)
    sizes, labels = (
        [7, 4, 9],
        [np.array([0, 1, 0, 0, 1, 0, 0]), np.array([0, 0, 1, 0]), np.eye(9, dtype=int)[8]],
    )
    scores = [random.permutation(size) / size for size in sizes]

    class Model:
        model_card_data = type("Card", (), {"set_evaluation_metrics": lambda *a, **k: None})()

        def predict(self, pairs, **options):
            return np.array([scores[int(q)][int(d)] for q, d in pairs])

    samples = [
        {
            "query": str(q),
            "documents": [str(d) for d in range(len(label))],
            "positive": [str(d) for d in np.flatnonzero(label)],
        }
        for q, label in enumerate(labels)
    ]
    for sample in samples:
        sample["documents"] = [d for d in sample["documents"] if d not in sample["positive"]]
    found = CrossEncoderRerankingEvaluator(
        [{"query": s["query"], "positive": s["positive"], "negative": s["documents"]} for s in samples],
        write_csv=False,
    )(Model())
    ours = rank_questions(np.repeat(range(3), sizes).tolist(), np.concatenate(scores), np.concatenate(labels))
    assert ours.map == pytest.approx(found["map"], abs=1e-6)
    assert ours.mrr == pytest.approx(found["mrr@10"], abs=1e-6)


MIXED = (
    ["neg", "pos", "mix", "mix", "neg", "pos"],
    np.array([0.5, 0.4, 0.1, 0.9, 0.2, 0.3]),
    np.array([0, 1, 1, 0, 0, 1]),
)


@pytest.mark.parametrize(
    ("mode", "questions", "mean", "skipped"),
    [
        ("raw", ("neg", "pos", "mix"), 0.5, {}),
        ("no-all-negative", ("pos", "mix"), 0.75, {"all negative": 1}),
        ("clean", ("mix",), 0.5, {"all negative": 1, "all positive": 1}),
    ],
)
def test_modes(mode, questions, mean, skipped):
    found = rank_questions(*MIXED, mode=mode)
    assert found.questions == questions
    assert found.map == mean
    assert found.skipped == skipped
    assert found.contested == 0


def test_means_are_means_of_the_questions():
    random = np.random.default_rng(0)
    questions = random.integers(0, 8, 60).tolist()
    scores, labels = random.integers(0, 5, 60).astype(float), random.integers(0, 2, 60)
    found = rank_questions(questions, scores, labels, mode="raw")
    for number, id_ in enumerate(found.questions):
        rows = np.array(questions) == id_
        expected = [kernel(scores[rows], labels[rows]) for kernel in KERNELS]
        np.testing.assert_allclose(
            [found.ap[number], found.rr[number], found.p1s[number], found.ndcgs[number]], expected, atol=EXACT
        )
    assert found.means() == pytest.approx(
        {"map": found.ap.mean(), "mrr": found.rr.mean(), "p1": found.p1s.mean(), "ndcg": found.ndcgs.mean()}
    )


ONE, GOOD = np.array([1.0]), np.array([1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: average_precision(np.array([]), np.array([], dtype=int)), "at least one candidate"),
        (lambda: average_precision(np.array([1.0, np.nan]), np.array([1, 0])), r"scores\[1\].*finite.*nan"),
        (lambda: reciprocal_rank(ONE, np.array([-1])), r"labels\[0\]: expected 0 or above, got -1"),
        (lambda: rank_questions(["a", "b"], ONE, GOOD), "questions: expected 1 ids"),
        (lambda: rank_questions(["a"], ONE, GOOD), "no question of 1 counts in mode 'clean'"),
        (lambda: ndcg(ONE, GOOD, cutoff=0), "cutoff: expected at least 1, got 0"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_unknown_names_and_unequal_lengths_are_refused():
    # under pytest the annotations refuse first; without them the functions' own messages do
    bad = [
        lambda: average_precision(ONE, GOOD, ties="best"),
        lambda: rank_questions(["a"], ONE, GOOD, mode="some"),
        lambda: average_precision(ONE, np.array([1, 0])),
    ]
    for call in bad:
        with pytest.raises(Exception, match=r"ties|mode|labels|Type-check"):
            call()
