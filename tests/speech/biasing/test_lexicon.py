"""Lexicon tree: priors along every path, texts and labels, rank priors, refusals."""

import math

import pytest
import torch

from echobook.speech.biasing.lexicon import NOWHERE, Lexicon, rank_priors
from echobook.speech.biasing.phonemes import BOUNDARY, classes_of

WORDS = {"bow": "B OW", "bowed": "B OW D", "bauer": "B AW ER", "power": "P AW ER"}
LABELS = {word: classes_of(text.split()) for word, text in WORDS.items()}
PRIORS = {"bow": -1.0, "bowed": -3.0, "bauer": -6.0, "power": -0.5}


def lexicon():
    return Lexicon(LABELS, PRIORS)


def walked(labels):
    """Prior collected along the tree."""
    tables = lexicon().tables
    node, total = 0, tables.root_prior
    for label in labels:
        assert tables.following[node, label] != NOWHERE
        total += float(tables.prior[node, label])
        node = int(tables.following[node, label])
    return total, node


@pytest.mark.parametrize("text", ["bow", "bowed", "bauer", "power", "bow power", "bauer bauer bowed"])
def test_a_path_collects_the_priors_of_its_words(text):
    total, node = walked(lexicon().labels(text))
    assert total + float(lexicon().tables.end_prior[node]) == pytest.approx(
        lexicon().log_prior(text), abs=1e-5
    )


def test_look_ahead_is_the_best_word_below():
    for n, expected in enumerate([-0.5, -1.0, -1.0, -3.0]):
        assert walked(LABELS["bowed"][:n])[0] == pytest.approx(expected)


def test_only_ends_of_words_may_end_or_go_on_to_a_boundary():
    tables = lexicon().tables
    ends = tables.end_prior.isfinite()
    assert int(ends.sum()) == len(WORDS)
    assert torch.equal(tables.following[:, BOUNDARY] == 0, ends)
    assert not tables.prior.isnan().any()


def test_texts_and_labels_are_inverse():
    for text in ("bow", "bauer power bow", ""):
        assert lexicon().text(lexicon().labels(text)) == text


def test_rank_priors_sum_to_one_and_fall():
    priors = rank_priors(["the", "of", "bow"], ["bauer", "jones"], rare_share=0.1)
    assert sum(map(math.exp, priors.values())) == pytest.approx(1)
    assert priors["the"] > priors["of"] > priors["bow"] > priors["bauer"] == priors["jones"]
    assert math.exp(priors["bauer"]) == pytest.approx(0.05)
    assert sum(map(math.exp, rank_priors(["a"], []).values())) == pytest.approx(1)


def test_refusals():
    with pytest.raises(ValueError, match="'bauer' and 'bower' are both pronounced B AW ER; drop one"):
        Lexicon({"bauer": LABELS["bauer"], "bower": LABELS["bauer"]}, {"bauer": -1.0, "bower": -1.0})
    with pytest.raises(ValueError, match="at least one word"):
        Lexicon({}, {})
    with pytest.raises(ValueError, match="log prior of 'bow' is -inf"):
        Lexicon({"bow": LABELS["bow"]}, {"bow": -math.inf})
    with pytest.raises(ValueError, match="word 'x' of 'bow x' is not in the lexicon of 4 words"):
        lexicon().labels("bow x")
    with pytest.raises(ValueError, match="no word of the lexicon is pronounced 'P AW'"):
        lexicon().text(LABELS["power"][:2])
    with pytest.raises(ValueError, match="in both: \\['a'\\]"):
        rank_priors(["a"], ["a"])
