"""Training loop: schedule, batches, exact resume, bit-equal repeats, early stopping, refusals."""

import math
from collections import Counter

import pytest
import torch
from torch import nn

from echobook.speech.model import AdditiveJoiner, LSTMEncoder, PredictionNetwork, Transducer
from echobook.speech.training import (
    BatchOrder,
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


class Slope(nn.Module):
    """One weight; the loss is chosen by each test."""

    def __init__(self, value=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value, dtype=torch.float64))


def only(step_loss, value=0.0, **changes):
    """Train `Slope` on one example without early stopping; return the weight after each evaluation."""
    net, seen = Slope(value), []

    def note(model):
        seen.append(model.weight.item())
        return -len(seen)  # always better: the last weights are kept

    base = {"steps": 1, "batch_size": 1, "warmup": 1, "evaluate_every": 1, "peak_rate": 0.5}
    plan = TrainingSettings(**(base | changes))
    history = train(
        net, [Example(torch.zeros(1, 1), (1,), "u")], settings=plan, evaluate=note, loss=step_loss
    )
    return seen, history


def test_adam_steps_by_hand():
    # constant gradient: Adam moves by the rate, which falls with the square root of the step
    seen, history = only(lambda net, batch: 3 * net.weight, steps=3)
    rates = [0.5, 0.5 / math.sqrt(2), 0.5 / math.sqrt(3)]
    assert seen == pytest.approx([-rates[0], -rates[0] - rates[1], -sum(rates)], abs=1e-6)
    assert history.losses == pytest.approx([0.0, -1.5, 3 * seen[1]])
    assert history.scores == [(1, -1), (2, -2), (3, -3)]


def test_the_gradient_is_clipped_before_the_step():
    # gradients 100 then 1, clipped at 1: equal moments, so Adam takes a full second step;
    # unclipped, the second step would be much smaller than the rate
    factors = iter([100.0, 1.0])
    seen, _ = only(lambda net, batch: next(factors) * net.weight, steps=2, clip_norm=1.0)
    assert seen[1] - seen[0] == pytest.approx(-0.5 / math.sqrt(2), rel=1e-4)


def test_weight_decay_pulls_towards_zero():
    seen, _ = only(lambda net, batch: 0 * net.weight, value=1.0, weight_decay=0.1)
    assert seen[0] == pytest.approx(0.5, abs=1e-6)  # gradient 0.1 * weight, normalised by Adam to the rate


def test_a_gradient_that_is_not_finite_names_the_batch():
    def root(net, batch):
        return net.weight.abs().sqrt() * 0 + net.weight  # finite value, NaN slope at 0

    with pytest.raises(TrainingStopped, match=r"step 1, utterances u: loss 0\.0, gradient norm nan"):
        only(root)


def test_the_bad_batch_leaves_the_weights_alone():
    net = model()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(TrainingStopped):
        train(
            net, examples(), settings=settings(), evaluate=dev_loss,
            loss=lambda net, batch: net.loss(*batch[:4]) * math.nan,
        )  # fmt: skip
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_run_cut_off_between_evaluations_goes_on_exactly(tmp_path, stop_after):
    """Killed in the middle of a step: what was done since the checkpoint is done again, alike."""
    whole = model()
    expected = train(whole, examples(), settings=settings(), evaluate=dev_loss, augment=noisy)
    path, steps = tmp_path / "checkpoint.pt", 0

    def killed(net, batch):
        nonlocal steps
        steps += 1
        if steps == 4 * stop_after + 2:
            raise KeyboardInterrupt
        return net.loss(*batch[:4])

    options = {"settings": settings(), "augment": noisy, "checkpoint": path, "evaluate": dev_loss}
    with pytest.raises(KeyboardInterrupt):
        train(model(), examples(), loss=killed, **options)
    resumed = model()
    found = train(resumed, examples(), **options)
    assert found.losses == expected.losses
    assert same(resumed, whole)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_finished_run_is_not_run_again(tmp_path):
    path = tmp_path / "c.pt"
    options = {"settings": settings(), "checkpoint": path, "evaluate": dev_loss}
    first, again = model(), model()
    train(first, examples(), **options)
    found = train(again, examples(), loss=lambda net, batch: 1 / 0, **options)
    assert len(found.losses) == 12
    assert same(first, again)
    early = settings(steps=100, evaluate_every=1, patience=1)
    scores = iter([1.0, 2.0])
    stopped = {"settings": early, "checkpoint": tmp_path / "e.pt", "evaluate": lambda net: next(scores)}
    train(model(), examples(), **stopped)
    assert len(train(model(), examples(), loss=lambda net, batch: 1 / 0, **stopped).losses) == 2


def test_a_batch_depends_on_seed_and_step_alone():
    data, plan = examples(70), settings()
    torch.manual_seed(5)
    one = batch_of_step(data, 9, plan, noisy)
    torch.manual_seed(6)
    batch_of_step(data, 3, plan, noisy)
    two = batch_of_step(data, 9, plan, noisy)
    assert torch.equal(one.frames, two.frames)
    assert one.names == two.names
    other = batch_of_step(data, 9, settings(seed=1), noisy)
    assert other.names != one.names or not torch.equal(other.frames, one.frames)


def test_utterances_without_labels_can_be_batched_and_trained():
    data = [Example(torch.ones(2, 4), (), "quiet"), Example(torch.ones(3, 4), (1, 2), "said")]
    batch = collate(data)
    assert batch.label_lengths.tolist() == [0, 2]
    assert batch.labels.tolist() == [[1, 1], [1, 2]]
    assert collate(data[:1]).labels.shape == (1, 0)
    history = train(model(), data, settings=settings(steps=4), evaluate=lambda net: 0.0)
    assert all(math.isfinite(loss) for loss in history.losses)


def test_progress_is_shown_only_when_asked(capsys):
    train(model(), examples(), settings=settings(steps=4), evaluate=dev_loss)
    assert capsys.readouterr().err == ""
    train(model(), examples(), settings=settings(steps=4), evaluate=dev_loss, progress=True)
    assert "training" in capsys.readouterr().err


def test_drop_schedule_by_hand():
    plan = settings(steps=100, warmup=10, schedule="drop", drop_at=0.5, peak_rate=1.0)
    rates = [learning_rate(step, plan) for step in (1, 5, 10, 50, 51, 100)]
    assert rates == pytest.approx([0.1, 0.5, 1.0, 1.0, 0.3, 0.3])


@pytest.mark.parametrize("change", [{"schedule": "cosine"}, {"drop_at": 0.0}, {"drop_at": 1.1}])
def test_schedules_that_are_refused(change):
    with pytest.raises(ValueError, match="schedule inverse-root or drop"):
        settings(**change)


def test_order_measures_once_and_agrees_with_batches_made_afresh():
    """The loop keeps one order; `batch_of_step` without one measures anew at every step."""
    rows, plan = examples(30), settings()
    order = BatchOrder([len(e.features) for e in rows], plan.batch_size, plan.seed)
    for step in (1, 5, 8, 9, 17, 3, 40):
        kept = batch_of_step(rows, step, plan, noisy, order)
        fresh = batch_of_step(rows, step, plan, noisy)
        assert kept.names == fresh.names
        assert torch.equal(kept.frames, fresh.frames)


def test_the_loop_looks_at_all_lengths_once():
    looked = []

    class Rows(list):
        def __iter__(self):
            looked.append(1)
            return super().__iter__()

    train(model(), Rows(examples(12)), settings=settings(steps=12), evaluate=dev_loss)
    assert len(looked) == 1
