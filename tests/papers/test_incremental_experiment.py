"""Material, training, scores and costs of the incremental chapter, on small worlds."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from echobook.data.generators.histories import HistoryWorld
from echobook.data.types import DatasetUse
from echobook.papers.incremental_user_embedding import costs, experiment, material, rates
from echobook.papers.incremental_user_embedding.evaluation import (
    by_user,
    curve,
    oracle,
    untrained,
)
from echobook.papers.incremental_user_embedding.experiment import Sizes, build
from echobook.papers.incremental_user_embedding.training import (
    Plan,
    accuracy_on,
    batches,
    correct_answers,
    fit,
    lengths_until,
    log_probabilities,
)

SMALL = Sizes(width=16, slots=2, block=3, layers=1, heads=2)
USE = DatasetUse("posts", "1", "0" * 64, "none", {"posts": 10}, "here")


def posts():
    """Ten posts in order of time by three users; the eighth repeats the first's title."""
    frame = pd.DataFrame(
        {
            "user": list("abacabacab"),
            "text": ["one", "b", "c", "d", "e", "f", "g", "ONE", "i", "j"],
            "label": list("xyxyxyxyxy"),
            "split": ["train"] * 6 + ["dev"] * 1 + ["repeat"] + ["test"] * 2,
        }
    )
    vectors = np.eye(10, dtype=np.float32)
    return material.named_pool(frame, vectors, USE)


def simulated(seed=0, **changes):
    pool = material.topic_pool(seed=seed, classes=4, blur=0.5, texts=60)
    world = dataclasses.replace(HistoryWorld(interactions=18, concentration=0.2), **changes)
    return material.simulated_users(pool, world, seed=seed, train_users=30, test_users=12)


def test_real_histories_by_hand():
    users = material.real_users(posts())
    assert users.size.tolist() == [5, 3, 2]
    assert users.row[0].tolist() == [0, 2, 4, 6, 8]
    assert users.row[2].tolist() == [3, 7, -1, -1, -1]
    assert users.split.tolist() == [[0, 0, 0, 1, 2], [0, 0, 2, -1, -1], [0, -1, -1, -1, -1]]
    assert users.frozen_at.tolist() == [3, 2, 1]
    assert users.y[1].tolist() == [1, 1, 1, 2, 2]
    assert users.x(torch.tensor([1]), 3)[0, 2].tolist() == np.eye(10)[9].tolist()
    assert users.x(torch.tensor([2]), 4)[0, 3].abs().max() == 0


def test_all_training_targets_come_before_all_test_targets():
    users = material.real_users(posts())
    rows = {split: users.row[users.targets(split).numpy()] for split in material.SPLITS}
    assert rows["train"].max() < rows["dev"].min()
    assert rows["dev"].max() < rows["test"].min()


def test_simulated_users_say_texts_of_their_split_only():
    pool = material.topic_pool(seed=0, classes=4, texts=60)
    found = material.simulated_users(pool, HistoryWorld(interactions=10), seed=0, train_users=8, test_users=4)
    split = pool.frame["split"].to_numpy()
    for name in material.SPLITS:
        rows = found.users.row[found.users.targets(name).numpy()]
        assert set(split[rows]) == {name}
    assert found.theta.shape == (8 + 2 + 4, 10, 4)
    assert np.array_equal(pool.labels[found.users.row], found.users.y.numpy())


@pytest.mark.parametrize("make", [lambda: material.real_users(posts()), lambda: simulated().users])
def test_shuffling_moves_interactions_within_their_split(make):
    users = make()
    mixed, origin = material.shuffled_users(users, seed=1)
    real = users.row >= 0
    assert sorted(origin[real].tolist()) == np.flatnonzero(real).tolist()
    assert (origin[~real] == -1).all()
    assert np.array_equal(mixed.row[real], users.row.reshape(-1)[origin[real]])
    assert torch.equal(mixed.split.flatten()[real.ravel()], users.split.flatten()[origin[real]])
    assert torch.equal(mixed.size, users.size)
    assert (mixed.row[real] != users.row[real]).any()
    for own in mixed.row if (users.size != users.size[0]).any() else []:
        assert (np.diff(own[own >= 0]) > 0).all()


def test_shuffling_keeps_the_step_where_all_histories_are_equally_long():
    users = simulated().users
    _, origin = material.shuffled_users(users, seed=1)
    step = np.arange(users.y.shape[1])
    assert (origin % users.y.shape[1] == step).all()


def test_lengths_until_the_last_target():
    wanted = torch.tensor([[True, False, True, False], [False] * 4])
    assert lengths_until(wanted).tolist() == [3, 0]


def test_batches_hold_every_user_once_and_keep_to_the_size():
    lengths = torch.tensor([3, 0, 9, 1, 1, 2, 30, 3])
    for rng in (None, np.random.default_rng(0)):
        groups = [group.tolist() for group in batches(lengths, items=12, rng=rng)]
        assert sorted(user for group in groups for user in group) == [0, 2, 3, 4, 5, 6, 7]
        assert all(len(g) * int(lengths[g].max()) <= 12 or len(g) == 1 for g in groups)
    assert [g.tolist() for g in batches(lengths, items=12)] == [[3, 4, 5, 0], [7], [2], [6]]


def test_probabilities_stand_where_the_targets_are():
    users = simulated().users
    model = build("incremental", features=users.features, classes=4, sizes=SMALL, seed=0)
    found = log_probabilities(model, users, "test", items=50)
    wanted = users.targets("test")
    assert torch.allclose(found[wanted].exp().sum(dim=-1), torch.ones(int(wanted.sum())), atol=1e-5)
    assert found[~wanted].abs().max() == 0
    right = correct_answers(model, users, "test")
    assert right.sum() / wanted.sum() == pytest.approx(accuracy_on(model, users, "test"))


def test_training_learns_who_writes():
    """Labels that only the user tells: two kinds of users, texts that say nothing."""
    rng = np.random.default_rng(0)
    pool = material.topic_pool(seed=0, classes=2, texts=40)
    users = material.simulated_users(
        pool,
        HistoryWorld(interactions=12, changes=0, concentration=0.01),
        seed=0,
        train_users=40,
        test_users=10,
    ).users
    blind = dataclasses.replace(
        users, vectors=torch.from_numpy(rng.normal(size=users.vectors.shape).astype(np.float32))
    )
    plan = Plan(rate=1e-2, epochs=10, items=128)
    scores = {}
    for name in ("incremental", "text"):
        model = build(name, features=blind.features, classes=2, sizes=SMALL, seed=0)
        fitted = fit(model, blind, plan, seed=0)
        assert fitted.best == int(np.argmax(fitted.dev))
        assert len(fitted.loss) == 10
        assert accuracy_on(fitted.model, blind, "dev") == pytest.approx(max(fitted.dev))
        right = correct_answers(fitted.model, blind, "test")
        scores[name] = right[users.targets("test").numpy() & (users.before >= 2)].mean()
    assert scores["incremental"] > 0.9
    assert scores["text"] < 0.7


def test_training_repeats_and_leaves_the_global_generator_alone():
    users = simulated().users
    before, ends = torch.random.get_rng_state(), []
    for _ in range(2):
        model = build("gru", features=users.features, classes=4, sizes=SMALL, seed=3)
        ends.append(fit(model, users, Plan(epochs=2), seed=3))
    assert ends[0].dev == ends[1].dev
    assert ends[0].loss == ends[1].loss
    assert torch.equal(before, torch.random.get_rng_state())


def test_without_epochs_the_untrained_model_is_kept():
    users = simulated().users
    model = build("text", features=users.features, classes=4, sizes=SMALL, seed=0)
    fitted = fit(model, users, Plan(epochs=0), seed=0)
    assert (fitted.best, len(fitted.dev), fitted.loss) == (0, 1, [])


def test_training_refuses_what_it_cannot_do():
    users = simulated().users
    model = build("text", features=users.features, classes=4, sizes=SMALL, seed=0)
    nobody = dataclasses.replace(users, split=torch.where(users.split == 1, -1, users.split))
    with pytest.raises(ValueError, match="there is no dev target"):
        fit(model, nobody, Plan(epochs=1), seed=0)
    broken = dataclasses.replace(users, vectors=users.vectors / 0)
    with pytest.raises(FloatingPointError, match="epoch 1: the training loss is nan"):
        fit(model, broken, Plan(epochs=1), seed=0)
    with pytest.raises(ValueError, match="rate > 0"):
        Plan(rate=0.0)


def test_scores_by_hand():
    correct = np.array([[True, False, True], [False, False, False], [True, True, True]])
    wanted = np.array([[True, True, False], [False, False, False], [True, False, False]])
    scores = by_user(correct, wanted)
    assert scores.items.tolist() == [0.5, 1.0]
    assert scores.weights.tolist() == [2.0, 1.0]
    assert scores.accuracy == pytest.approx(2 / 3)
    assert scores.above(scores).items.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="different targets"):
        scores.above(by_user(correct, ~wanted))
    with pytest.raises(ValueError, match="no target"):
        by_user(correct, np.zeros_like(wanted))
    before = np.tile(np.arange(3), (3, 1))
    assert curve(correct, wanted, before) == {"0": (1.0, 2), "1-2": (0.0, 1)}


def test_untrained_answers_by_hand():
    users = material.real_users(posts())
    right = untrained(users, "test")
    assert {name: int(answer.sum()) for name, answer in right.items()} == {
        "majority": 1,  # x and y are equally common in training; the first, x, is said
        "same-as-last": 2,
        "most-frequent": 2,
    }


def test_the_oracle_beats_the_text():
    world = simulated(concentration=0.1)
    users = world.users
    text = fit(build("text", features=users.features, classes=4, sizes=SMALL, seed=0), users, Plan(), seed=0)
    logs = log_probabilities(text.model, users, "test").numpy()
    wanted = users.targets("test").numpy()
    best = oracle(users, "test", logs, world.theta)[wanted].mean()
    alone = (logs.argmax(-1) == users.y.numpy())[wanted].mean()
    assert best > alone + 0.05
    even = np.full_like(world.theta, 0.25)
    assert oracle(users, "test", logs, even)[wanted].mean() == pytest.approx(alone)


def test_a_profile_learned_once_and_one_kept_up_to_date():
    users = simulated().users
    fitted = experiment.train_arm("mean", users, sizes=SMALL, plan=Plan(epochs=2), rates="topics", seed=0)
    frozen = experiment.frozen_answers(fitted, users, "test")
    kept = correct_answers(fitted.model, users, "test")
    late = experiment.late_targets(users, "test")
    early = users.targets("test").numpy() & ~late
    assert np.array_equal(frozen[early], kept[early])
    assert not np.array_equal(frozen[late], kept[late])
    assert not frozen[~users.targets("test").numpy()].any()
    text = experiment.train_arm("text", users, sizes=SMALL, plan=Plan(epochs=0), rates="topics", seed=0)
    with pytest.raises(TypeError, match="an arm with MeanOfAll, got NoHistory"):
        experiment.frozen_answers(text, users, "test")


def test_the_shuffled_arm_answers_the_same_targets():
    users = simulated().users
    _, right = experiment.shuffled_arm(
        users, "test", sizes=SMALL, plan=Plan(epochs=1), rates="topics", seed=0
    )
    assert not right[~users.targets("test").numpy()].any()
    assert right.any()


def test_rates():
    assert rates.best_rate({0.1: 0.5, 0.01: 0.5, 1.0: 0.4}) == 0.01
    known = {"here": {"incremental": {0.1: 0.5, 0.2: 0.6}, "text": {0.3: 0.1}}}
    assert rates.chosen_rate("here", "text", known=known) == 0.3
    assert rates.chosen_rate("here", "no-gate", known=known) == 0.2
    with pytest.raises(ValueError, match="world 'there' has no trials; expected one of here"):
        rates.chosen_rate("there", "text", known=known)
    with pytest.raises(ValueError, match="no trials"):
        rates.best_rate({})


def test_every_tuned_arm_was_tried_at_every_rate():
    for world, arms in rates.TRIALS.items():
        for name, tried in arms.items():
            assert tuple(tried) == rates.GRID, (world, name)
            assert name in experiment.tuning_arms()


def test_work_by_hand():
    """Width 2, one layer: 8 * 4 a token and 2 * 2 a pair."""
    sizes = Sizes(width=2, slots=1, block=2, layers=1)
    assert costs.encoder_work(3, sizes) == 3 * (32 + 12)
    assert costs.incremental_work(sizes) == (132 + 8) / 2
    assert costs.full_work(10, sizes) == 10 * (32 + 40)
    assert costs.cached_work(10, sizes) == 32 + 40
    assert costs.profile_floats(sizes) == 4
    assert costs.cached_floats(10, sizes) == 40


def test_costs_do_not_grow_with_the_history():
    model = build("incremental", features=4, classes=3, sizes=SMALL, seed=0).eval()
    timed = costs.time_updates(model, torch.randn(5, 4), [0, 1, 2, 3, 0], [3, 60], around=6)
    assert [one.seen for one in timed] == [3, 60]
    assert timed[0].floats == timed[1].floats
    full = build("full", features=4, classes=3, sizes=SMALL, seed=0).eval()
    spans = costs.time_full(full.history, SMALL.width, [4, 400])
    assert spans[1].ms > spans[0].ms > 0
    assert spans[1].floats == 400 * SMALL.width
