"""Training loop: schedule, batches, exact resume, bit-equal repeats, early stopping, refusals."""

import math
from collections import Counter

import pytest
import torch
from torch import nn

from echobook.speech.model import AdditiveJoiner, LSTMEncoder, PredictionNetwork, Transducer
from echobook.speech.training import (
    Example,
    TrainingSettings,
    TrainingStopped,
    batch_of_step,
    bucketed,
    collate,
    learning_rate,
    train,
)


def model():
    torch.manual_seed(0)
    return Transducer(
        LSTMEncoder(4, hidden=8, size=6, layers=1, dropout=0.2),
        PredictionNetwork(4, embedding=3, hidden=8, size=6),
        AdditiveJoiner(6, 4),
    )


def examples(count=12):
    g = torch.Generator().manual_seed(0)
    made = []
    for i in range(count):
        labels = tuple((torch.randint(3, (1 + i % 3,), generator=g) + 1).tolist())
        rows = [
            nn.functional.one_hot(torch.tensor([v, v]), 4).float() for v in labels
        ]  # two frames per label
        made.append(Example(torch.cat(rows), labels, f"u{i}"))
    return made


def settings(**changes):
    base = {"steps": 12, "batch_size": 4, "warmup": 4, "evaluate_every": 4, "peak_rate": 0.02}
    return TrainingSettings(**(base | changes))


def dev_loss(net):
    batch = collate(examples())
    return net.loss(*batch[:4]).item()


def noisy(features, generator):
    return features + 0.1 * torch.randn(features.shape, generator=generator)


def same(a, b):
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_schedule_by_hand():
    plan = settings(warmup=4, peak_rate=1.0)
    assert [learning_rate(k, plan) for k in (1, 2, 4, 16)] == [0.25, 0.5, 1.0, 0.5]


def test_collate_pads():
    batch = collate([Example(torch.ones(3, 2), (2,), "a"), Example(torch.ones(1, 2), (3, 1), "b")])
    assert batch.frames.shape == (2, 3, 2)
    assert batch.frames[1, 1:].sum() == 0
    assert batch.lengths.tolist() == [3, 1]
    assert batch.labels.tolist() == [[2, 1], [3, 1]]
    assert batch.label_lengths.tolist() == [1, 2]
    assert batch.names == ("a", "b")


def test_buckets_hold_everything_once_and_neighbours_in_length():
    lengths = torch.randint(1, 100, (330,), generator=torch.Generator().manual_seed(0)).tolist()
    batches = bucketed(lengths, 10, generator=torch.Generator().manual_seed(1))
    assert sorted(i for batch in batches for i in batch) == list(range(330))
    assert max(map(len, batches)) == 10
    spread = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in batches if len(b) == 10]
    assert sum(spread) / len(spread) < 20  # unsorted batches of 10 out of 1..99 would spread over about 80


@pytest.mark.parametrize("count", [12, 13, 70])
def test_an_epoch_uses_every_example_once(count):
    data, plan = examples(count), settings()
    per_epoch = math.ceil(count / 4) if count <= 64 else 16 + math.ceil((count - 64) / 4)
    for epoch in range(2):
        steps = range(1 + epoch * per_epoch, 1 + (epoch + 1) * per_epoch)
        names = Counter(name for step in steps for name in batch_of_step(data, step, plan).names)
        assert names == Counter(e.name for e in data)


def test_it_learns():
    net = model()
    before = dev_loss(net.eval())
    plan = settings(steps=120, evaluate_every=20, warmup=60, peak_rate=0.04)
    history = train(net, examples(), settings=plan, evaluate=dev_loss)
    assert history.best_score < before / 4
    assert dev_loss(net) == pytest.approx(history.best_score)
    assert not net.training


def test_two_runs_agree_to_the_last_bit_and_leave_the_global_state():
    runs = []
    for _ in range(2):
        net = model()
        state = torch.get_rng_state()
        runs.append((net, train(net, examples(), settings=settings(), evaluate=dev_loss, augment=noisy)))
        assert torch.equal(torch.get_rng_state(), state)
    assert same(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    other = model()
    train(other, examples(), settings=settings(seed=1), evaluate=dev_loss, augment=noisy)
    assert not same(other, runs[0][0])


def test_a_killed_run_goes_on_exactly(tmp_path):
    whole = model()
    expected = train(whole, examples(), settings=settings(), evaluate=dev_loss, augment=noisy)
    calls = 0

    def killed(net):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return dev_loss(net)

    path, broken = tmp_path / "run" / "checkpoint.pt", model()
    options = {"settings": settings(), "augment": noisy, "checkpoint": path}
    with pytest.raises(KeyboardInterrupt):
        train(broken, examples(), evaluate=killed, **options)
    torch.manual_seed(99)
    resumed = model()
    found = train(resumed, examples(), evaluate=dev_loss, **options)
    assert found.losses == expected.losses
    assert [tuple(s) for s in found.scores] == expected.scores
    assert same(resumed, whole)


def test_early_stopping_keeps_the_best_weights():
    scores, weights = iter([3.0, 1.0, 2.0, 2.0, 0.0]), []

    def scripted(net):
        weights.append({k: v.clone() for k, v in net.state_dict().items()})
        return next(scores)

    net = model()
    history = train(
        net, examples(), settings=settings(steps=100, evaluate_every=2, patience=2), evaluate=scripted
    )
    assert (history.best_step, history.best_score, len(history.losses)) == (4, 1.0, 8)
    assert all(torch.equal(v, weights[1][k]) for k, v in net.state_dict().items())


def test_a_loss_that_is_not_finite_names_the_batch():
    data = [e._replace(features=e.features * math.nan) if e.name == "u7" else e for e in examples()]
    with pytest.raises(TrainingStopped, match=r"step \d+, utterances .*u7.*: utterance \d of the batch"):
        train(model(), data, settings=settings(), evaluate=dev_loss)
    with pytest.raises(TrainingStopped, match=r"step 1, utterances .*: loss inf.* try a lower peak_rate"):
        train(
            model(),
            examples(),
            settings=settings(),
            evaluate=dev_loss,
            loss=lambda net, batch: net.loss(*batch[:4]) * math.inf,
        )


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    path = tmp_path / "c.pt"
    train(model(), examples(), settings=settings(steps=4), evaluate=dev_loss, checkpoint=path)
    with pytest.raises(ValueError, match=r"checkpoint c\.pt is of other settings"):
        train(model(), examples(), settings=settings(steps=8), evaluate=dev_loss, checkpoint=path)


def test_refusals():
    with pytest.raises(ValueError, match="no examples to train on"):
        train(model(), [], settings=settings(), evaluate=dev_loss)
    with pytest.raises(ValueError, match="expected positive counts"):
        settings(steps=0)
