"""Training and experiment: paired batches, crops, a tiny set learnt by heart, who gets the weight."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from echobook.papers.adversarial_reweighting import experiment, material
from echobook.papers.adversarial_reweighting.baselines import Even
from echobook.papers.adversarial_reweighting.experiment import ABLATIONS, BINARY, CONTROLS, MAIN
from echobook.papers.adversarial_reweighting.method import softmax_loss
from echobook.papers.adversarial_reweighting.training import (
    Plan,
    WeightLog,
    crops,
    draws,
    embed,
    train,
)
from tests.papers.test_adversarial_reweighting_material import toy

PLAN = Plan(steps=8, speakers=6, crop=40, refresh=3, regions=3)


def test_batches_have_different_speakers_and_utterances() -> None:
    voices, chosen = toy(), np.arange(4, 14)
    for draw in draws(voices, chosen, replace(PLAN, steps=20), seed=1):
        owners = voices.speaker[draw.utterance]
        assert (owners[:, 0] == owners[:, 1]).all()
        assert len(np.unique(owners[:, 0])) == 6
        assert np.isin(owners, chosen).all()
        assert (draw.utterance[:, 0] != draw.utterance[:, 1]).all()
        assert draw.start.min() >= 0
        assert draw.start.max() <= 60
    with pytest.raises(ValueError, match="a batch needs 6"):
        next(draws(voices, np.arange(5), PLAN, seed=1))


def test_crops_are_the_drawn_pieces() -> None:
    voices = toy()
    draw = next(draws(voices, np.arange(16), PLAN, seed=2))
    found = crops(voices.frames, draw, 40)
    assert found.shape == (12, 40, 40)
    for place, (i, j) in enumerate([(0, 0), (5, 0), (2, 1)]):
        row = i + 6 * j
        start = int(draw.start[i, j])
        expected = voices.frames[int(draw.utterance[i, j]), start : start + 40]
        assert torch.equal(found[row], expected), place


def test_arms_share_start_and_batches() -> None:
    """Before the first weighted step all softmax arms are the same encoder."""
    voices, chosen = toy(), np.arange(16)
    plan = replace(PLAN, pretrain=1.0)
    found = [
        experiment.train_arm(voices, arm, chosen, plan, seed=3).encoder.state_dict()
        for arm in (MAIN[0], MAIN[3], CONTROLS[0])
    ]
    for name, weight in found[0].items():
        assert all(torch.equal(weight, other[name]) for other in found[1:])


def test_runs_repeat_to_the_last_bit() -> None:
    voices = toy()
    splits = material.folds_of(voices, 2, seed=0)
    runs = [experiment.run_arms(voices, splits, MAIN[3:], PLAN, seed=4)["pw"] for _ in range(2)]
    for one, other in zip(runs[0].folds, runs[1].folds, strict=True):
        assert (one.embeddings == other.embeddings).all()
    assert runs[0].first().folds == runs[0].folds[:1]


@pytest.mark.parametrize("arm", [*MAIN, *BINARY, *CONTROLS, *ABLATIONS], ids=lambda arm: arm.name)
def test_every_arm_trains(arm: experiment.Arm) -> None:
    voices = toy()
    trained = experiment.train_arm(voices, arm, np.arange(16), replace(PLAN, steps=4), seed=5)
    speaker, weight, loss = trained.log.joined()
    assert len(speaker) == len(weight) == len(loss)
    assert np.isfinite(weight).all()
    expected = 2.0 if arm.name == "mean-two" else 1.0
    assert weight.mean() == pytest.approx(expected, abs=1e-4)


def test_a_tiny_set_is_learnt_by_heart() -> None:
    voices = toy(seed=6)
    plan = replace(PLAN, steps=40)
    trained = train(voices, np.arange(16), Even(), softmax_loss, plan, seed=6)
    scored = experiment.score(voices, trained.encoder, np.arange(16))
    assert scored.rate("all") < 0.05


def test_embeddings_are_in_evaluation_mode() -> None:
    voices = toy()
    encoder = train(voices, np.arange(16), Even(), softmax_loss, PLAN, seed=7).encoder
    whole = embed(encoder, voices.frames)
    assert encoder.training
    np.testing.assert_allclose(embed(encoder, voices.frames[3:5]), whole[3:5], atol=1e-5)


def test_dev_curve_looks_at_training_speakers_only() -> None:
    voices, chosen = toy(), np.arange(12)
    seen: list[np.ndarray] = []
    original = experiment.score

    def spy(given, encoder, speakers):  # type: ignore[no-untyped-def]
        seen.append(speakers)
        return original(given, encoder, speakers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "score", spy)
        plan = replace(PLAN, speakers=4)
        curve = experiment.dev_curve(voices, chosen, plan, seed=8, every=4, held_out=1)
    assert [row["steps"] for row in curve] == [0, 4, 8]
    assert all(np.isin(one, chosen).all() and len(one) == 4 for one in seen)


def test_weights_by_group_and_loss() -> None:
    log = WeightLog()
    log.speaker.append(np.array([0, 1, 2, 3]))
    log.weight.append(np.array([2.0, 1.0, 0.5, 0.5]))
    log.loss.append(np.array([4.0, 3.0, 1.0, 0.5]))
    inside = np.array([True, True, False, False])
    assert experiment.weight_ratio([log], inside, ~inside) == 3
    assert experiment.weight_and_loss([log]) == pytest.approx(0.9487, abs=1e-4)  # two ties
    even = WeightLog([np.arange(2)], [np.ones(2)], [np.array([1.0, 2.0])])
    assert experiment.weight_and_loss([even]) == 0


def test_the_adversary_finds_a_hard_group_without_labels() -> None:
    """Voices of one half of the speakers hardly differ: their pairs must come to weigh more."""
    voices = toy(24, seed=9)
    frames = voices.frames.clone()
    hard = material.mask_of(voices, age="child")
    rows = voices.of(np.flatnonzero(hard))
    noise = torch.randn(len(rows), 100, 40, generator=torch.Generator().manual_seed(9))
    frames[rows] = 3 + 0.1 * frames[rows] + 0.3 * noise
    harder = replace(voices, frames=frames)
    plan = Plan(steps=60, speakers=12, crop=40, regions=4, adversary_rate=5e-2)
    trained = experiment.train_arm(harder, MAIN[3], np.arange(24), plan, seed=9)
    assert experiment.weight_ratio([trained.log], hard, ~hard) > 1.05
    assert experiment.weight_and_loss([trained.log]) > 0.1


def test_the_floor_needs_no_training() -> None:
    voices = toy(seed=10)
    splits = material.folds_of(voices, 2, seed=0)
    assert experiment.mel_means(voices, splits).folds[0].rate("all") < 0.05
