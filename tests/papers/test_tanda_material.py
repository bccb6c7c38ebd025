"""Frames of the controls: what is flipped, permuted, merged and sampled, and what stays as it was."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.data.qa import QACorpus
from echobook.data.types import DatasetUse
from echobook.papers.tanda import material
from echobook.papers.tanda.baselines import baseline_scores
from echobook.papers.tanda.evaluation import ranking, relative_loss, table
from echobook.papers.tanda.material import (
    counted,
    derived_frames,
    flip_labels,
    generated_material,
    merge,
    permute_labels,
)

LABELS = st.lists(st.integers(0, 1), min_size=1, max_size=60).map(lambda values: np.array(values))


def frame(labels, prefix="q"):
    """Questions of three candidates each with the given labels."""
    rows = [(f"{prefix}{i // 3}", f"question {i // 3}", f"sentence {i}", y) for i, y in enumerate(labels)]
    return pd.DataFrame(rows, columns=["question_id", "question", "candidate", "label"])


@settings(deadline=None, max_examples=25)
@given(LABELS, st.floats(0, 1), st.integers(0, 9))
def test_flips_are_as_many_as_asked_and_drawn_from_both_classes(labels, share, seed):
    flipped = flip_labels(labels, share, seed=seed)
    assert (flipped != labels).sum() == round(share * len(labels))
    assert set(flipped.tolist()) <= {0, 1}
    np.testing.assert_array_equal(flipped, flip_labels(labels, share, seed=seed))


def test_more_noise_keeps_the_flips_of_less():
    labels = (np.arange(200) % 5 == 0).astype(np.int64)
    wrong = [set(np.flatnonzero(flip_labels(labels, share, seed=4) != labels)) for share in (0.1, 0.2, 0.4)]
    assert wrong[0] < wrong[1] < wrong[2]
    assert 0 < sum(labels[i] for i in wrong[2]) < len(wrong[2])


@settings(deadline=None, max_examples=25)
@given(LABELS, st.integers(0, 9))
def test_permuted_labels_keep_texts_and_count(labels, seed):
    rows = frame(labels)
    mixed = permute_labels(rows, seed=seed)
    assert mixed["label"].sum() == labels.sum()
    pd.testing.assert_frame_equal(mixed.drop(columns="label"), rows.drop(columns="label"))
    np.testing.assert_array_equal(rows["label"], labels)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 30), st.integers(0, 30))
def test_merged_holds_rows_of_both_sets_once(first, second):
    one, two = frame([0, 1] * 10, "t"), frame([1, 0] * 6, "a")
    joined = merge(one, two, pairs=(first, second), seed=0)
    from_one = joined["question_id"].str.startswith("t")
    assert (from_one.sum(), (~from_one).sum()) == (min(first, 20), min(second, 12))
    for part, whole in ((joined[from_one], one), (joined[~from_one], two)):
        assert part["candidate"].is_unique
        assert len(part.merge(whole)) == len(part)
    assert joined.index.tolist() == list(range(len(joined)))


def test_derived_frames_touch_nothing_else():
    transfer, target = frame([1, 0, 0] * 8, "t"), frame([0, 1, 0] * 8, "a")
    made = derived_frames(transfer, target, "a", noise=[25, 50], merged=(6, 9), seed=1)
    assert sorted(made) == ["a-merged", "a-noise-25", "a-noise-50", "transfer-shuffled"]
    assert (made["a-noise-25"]["label"] != target["label"]).sum() == 6
    assert len(made["a-merged"]) == 15
    assert target["label"].tolist() == [0, 1, 0] * 8


def test_counted_questions():
    rows = frame([1, 0, 0, 0, 0, 0, 1, 1, 1])  # mixed, none right, all right
    assert counted(rows, "raw")["question_id"].unique().tolist() == ["q0", "q1", "q2"]
    assert counted(rows, "no-all-negative")["question_id"].unique().tolist() == ["q0", "q2"]
    clean = counted(rows, "clean")
    assert clean["question_id"].unique().tolist() == ["q0"]
    assert clean.index.tolist() == [0, 1, 2]


def test_generated_material_separates_its_questions():
    found = generated_material(seed=3, shared=0.0, noise=[40], merged=(32, 32))
    asked = {name: set(found.frames[name]["question"]) for name in ("transfer", "facts", "facts-test")}
    assert not asked["transfer"] & asked["facts-test"]
    assert not asked["facts"] & asked["facts-test"]
    assert found.targets == ("facts",)
    assert found.frames["facts"].equals(found.frames["facts-all"])
    again = generated_material(seed=3, shared=0.0, noise=[40], merged=(32, 32))
    for name, rows in found.frames.items():
        pd.testing.assert_frame_equal(rows, again.frames[name])


def stand_in(monkeypatch):
    """Small stand-ins for the three public sets, in their loaders' form."""
    use = DatasetUse("stand-in", "1", "0" * 64, "CC0-1.0", {"train": 1}, "tests")

    def corpus(prefix):
        splits = {name: frame([1, 0, 0, 0, 0, 0] * 4, f"{prefix}-{name}-") for name in ("train", "test")}
        splits["validation"] = frame([0, 1, 0] * 4, f"{prefix}-v-")
        parts = [rows.assign(split=name) for name, rows in splits.items()]
        return QACorpus(prefix, pd.concat(parts, ignore_index=True), use)

    pairs = [(f"sentence {i}", f"question {i}") for i in range(40)]
    monkeypatch.setattr(material, "load_wikiqa", lambda: corpus("w"))
    monkeypatch.setattr(material, "load_trecqa", lambda: corpus("t"))
    monkeypatch.setattr(material, "load_squad_nqg", lambda part: (pairs, use))
    monkeypatch.setattr(material, "TRANSFER_QUESTIONS", 10)


def test_public_material_by_stand_ins(monkeypatch):
    stand_in(monkeypatch)
    found = material.public_material(seed=0, noise=[20], merged=(8, 8), cap=9)
    assert found.targets == ("wikiqa", "trecqa")
    assert len(found.frames["transfer"]) == len(found.frames["transfer-random"]) == 40
    assert found.frames["transfer"]["label"].sum() == 10
    # training keeps the questions with a right candidate, evaluation those with a wrong one too
    assert len(found.frames["wikiqa-all"]) == 12
    assert found.frames["wikiqa-all"].groupby("question_id")["label"].max().min() == 1
    assert len(found.frames["wikiqa"]) == 9
    assert found.frames["wikiqa"].merge(found.frames["wikiqa-all"]).shape[0] == 9
    assert len(found.frames["trecqa-dev"]) == 12
    assert len(found.sentences) == 40
    assert len(found.uses) == 3
    other = material.public_material(seed=1, noise=[20], merged=(8, 8), cap=9)
    assert not other.frames["wikiqa"].equals(found.frames["wikiqa"])
    assert other.frames["wikiqa-test"].equals(found.frames["wikiqa-test"])


def test_scores_without_training_do_not_see_labels():
    rows = frame([1, 0, 0, 0, 1, 0])
    other = rows.assign(label=1 - rows["label"])
    for name, values in baseline_scores(rows).items():
        np.testing.assert_array_equal(values, baseline_scores(other)[name])
    assert sorted(baseline_scores(rows)) == ["bm25", "idf-overlap", "random"]


def test_table_and_losses():
    rows = frame([1, 0, 0])
    best, worst = (ranking(rows, np.array(values, dtype=float)) for values in ([3, 2, 1], [1, 2, 3]))
    shown = table({"best": best, "worst": worst})
    assert shown.columns.tolist() == ["row", "MAP", "MRR", "P@1", "NDCG"]
    assert shown["MAP"].tolist() == [1, pytest.approx(1 / 3)]
    assert relative_loss(0.5, 0.5) == 0
    assert relative_loss(0.5, 0.6) == pytest.approx(-0.2)
