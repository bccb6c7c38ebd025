"""Which questions count: literals, an oracle by loops, refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echobook.metrics.question_modes import MODES, check_mode, group_rows, mode_mask, skip_reason

QUESTIONS = ["neg", "pos", "mix", "mix", "neg", "pos"]
LABELS = np.array([0, 1, 1, 0, 0, 2])


@pytest.mark.parametrize(
    ("mode", "kept"),
    [("raw", {"neg", "pos", "mix"}), ("no-all-negative", {"pos", "mix"}), ("clean", {"mix"})],
)
def test_the_mask_keeps_whole_questions(mode, kept):
    mask = mode_mask(QUESTIONS, LABELS, mode)
    assert [question in kept for question in QUESTIONS] == mask.tolist()


@pytest.mark.parametrize(
    ("labels", "reasons"),
    [
        ([0, 0], [None, "all negative", "all negative"]),
        ([1, 3], [None, None, "all positive"]),
        ([0, 1], [None, None, None]),
        ([1], [None, None, "all positive"]),
    ],
)
def test_reasons_by_hand(labels, reasons):
    assert [skip_reason(np.array(labels), mode) for mode in MODES] == reasons


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=12), st.sampled_from(MODES))
def test_the_mask_equals_a_loop_over_rows(rows, mode):
    questions, labels = [q for q, _ in rows], np.array([label for _, label in rows], dtype=int)
    expected = []
    for question, _ in rows:
        own = [label > 0 for other, label in rows if other == question]
        wanted = {"raw": True, "no-all-negative": any(own), "clean": any(own) and not all(own)}
        expected.append(wanted[mode])
    assert mode_mask(questions, labels, mode).tolist() == expected


def test_questions_are_grouped_by_id_even_when_scattered():
    rows = group_rows(["b", "a", "b", "c", "a"])
    assert {key: value.tolist() for key, value in rows.items()} == {"b": [0, 2], "a": [1, 4], "c": [3]}
    assert list(rows) == ["b", "a", "c"]
    assert group_rows([]) == {}


def test_modes_are_the_documented_ones():
    assert MODES == ("raw", "no-all-negative", "clean")


def test_refusals():
    with pytest.raises(ValueError, match=r"mode: expected one of .*clean.*, got 'some'"):
        check_mode("some")
    with pytest.raises(ValueError, match="questions: expected 1 ids, one a label, got 2"):
        mode_mask(["a", "b"], np.array([1]), "raw")
