"""Rescoring: untouched before training, learns to follow the previous words, order, refusals."""

import pytest
import torch

from echobook.papers.contextual_asr.baselines import (
    Choice,
    Rescorer,
    choices,
    first_scores,
    rescored,
    train_rescorer,
)
from echobook.speech.biasing.phonemes import CLASSES, classes_of
from echobook.speech.biasing.search import Candidate
from echobook.speech.training import TrainingSettings

WORDS = {"bauer": "B AW ER", "power": "P AW ER", "tower": "T AW ER", "jones": "JH OW N Z", "call": "K AO L"}
LABELS = {word: classes_of(text.split()) for word, text in WORDS.items()}


def candidate(text, score):
    return Candidate(text, score, score, 0.0, 0.0)


def choice(previous, right="bauer"):
    listed = (candidate("call power", -1.0), candidate("call bauer", -1.5), candidate("call tower", -1.7))
    return choices([listed], [previous], [f"call {right}"])[0]


def model():
    torch.manual_seed(0)
    return Rescorer(CLASSES, size=8)


def test_the_right_candidate_is_found_or_none():
    assert choice(["bauer"]).right == 1
    assert choice(["bauer"], right="jones").right is None
    assert choices([[]], [["bauer"]], ["call"])[0] == Choice((), ("bauer",), None)


def test_before_training_nothing_changes():
    found = rescored(model(), [choice(["bauer", "jones"])], LABELS)
    assert [c.text for c in found[0]] == ["call power", "call bauer", "call tower"]
    assert rescored(model(), [Choice((), ("bauer",), None)], LABELS) == [[]]


def test_it_learns_to_follow_what_was_said_before():
    said = {"bauer": ["bauer", "jones"], "tower": ["jones", "tower"], "power": ["call", "jones"]}
    training = [choice(previous, right) for right, previous in said.items()]
    trained = model()
    settings = TrainingSettings(steps=160, batch_size=6, peak_rate=0.01, warmup=10)
    losses = train_rescorer(trained, training, LABELS, settings)
    assert losses[-1] < 0.2 < losses[0]
    best = [row[0].text for row in rescored(trained, training, LABELS)]
    assert best == [f"call {right}" for right in said]


def test_order_of_the_previous_words_and_unknown_ones_do_not_matter():
    trained = model()
    torch.nn.init.normal_(trained.score[2].weight)
    vectors = trained.encode(LABELS, [choice(["bauer", "jones", "or"])])
    one = trained(choice(["bauer", "jones", "or"]), vectors)
    two = trained(choice(["jones", "bauer"]), vectors)
    torch.testing.assert_close(one, two)
    assert not torch.allclose(one, trained(choice(["jones"]), vectors))


def test_scores_are_the_recognisers_own():
    assert first_scores(choice([])).tolist() == pytest.approx([-1.0, -1.5, -1.7])


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(ValueError, match="no list of candidates holds its reference"):
        train_rescorer(model(), [choice([], "jones")], LABELS, TrainingSettings(steps=1))
