"""Worlds, offline measures, rows of the tables and arms of the joke chapter."""

from dataclasses import replace

import numpy as np
import pytest

from echobook.data.generators.jokes import Taste
from echobook.data.jokes import Joke
from echobook.metrics.grouped_auc import grouped_auc
from echobook.metrics.open_set import auroc
from echobook.papers.joke_skill import experiment, material
from echobook.papers.joke_skill.evaluation import (
    BUCKETS,
    accuracy,
    best_threshold,
    by_bucket,
    offline,
    sessions_of,
    top_one,
)
from echobook.papers.joke_skill.features import DAY, PLAIN, WHO_AND_WHEN
from echobook.papers.joke_skill.online import off_policy, run_arm, summed_up
from echobook.papers.joke_skill.policies import Random, Softened
from echobook.papers.joke_skill.simulator import UNCONFOUNDED, Behaviour
from echobook.papers.joke_skill.training import (
    MONTH,
    Study,
    first_guess,
    make_study,
    train_factors,
    train_popularity,
    train_regression,
)


@pytest.fixture(scope="module")
def study() -> Study:
    return make_study(material.generated_world(users=120, jokes=30, seed=1), seed=1)


# Worlds


def test_a_text_world_has_the_taste_it_was_given() -> None:
    world = material.generated_world(
        users=50, jokes=30, seed=0, taste=Taste(own=0.0, quality=1.0, personal=0.0, noise=0.0)
    )
    assert np.ptp(world.liking, axis=0).max() < 1e-9
    assert world.liking.std() > 0.5
    assert world.tellable.all()
    assert (world.released == 0).all()


def test_jokes_that_are_held_back() -> None:
    world = material.generated_world(users=5, jokes=40, seed=3, held_back=0.25, release=99)
    assert sorted(np.unique(world.released)) == [0, 99]
    assert (world.released == 99).sum() == 10
    other = material.generated_world(users=5, jokes=40, seed=4, held_back=0.25, release=99)
    assert (world.released != other.released).any()
    with pytest.raises(ValueError, match=r"held_back: expected a share in \[0, 1\), got 1.0"):
        material.generated_world(users=5, jokes=40, seed=3, held_back=1.0)


def test_groups_have_names() -> None:
    jokes = [Joke("a lamp here", "x", "line", True), Joke("a lamp there", "y", "line", True)]
    jokes += [Joke("What lamp? A lamp.", "x", "riddle", True), Joke("lamp", "z", "line", True)]
    table = material.joke_table(jokes)
    assert table.names == {"category": ("x", "y", "z"), "kind": ("line", "riddle")}
    assert table.groups["category"].tolist() == [0, 1, 0, 2]
    assert table.groups["kind"].tolist() == [0, 0, 1, 0]
    described = table.described
    np.testing.assert_array_equal(
        described[:, :5], [[1, 0, 0, 1, 0], [0, 1, 0, 1, 0], [1, 0, 0, 0, 1], [0, 0, 1, 1, 0]]
    )
    assert abs(described[:, 5].mean()) < 1e-12


def test_long_texts_are_cut() -> None:
    tokens, _ = material.tokenised(["lamp " * 100, "lamp goat", "goat"])
    assert tokens.shape == (3, material.TOKENS)
    assert (tokens[0] == tokens[0, 0]).all()


# The month


def test_a_month_repeats_to_the_last_number(study: Study) -> None:
    again = make_study(material.generated_world(users=120, jokes=30, seed=1), seed=1)
    np.testing.assert_array_equal(again.log.joke, study.log.joke)
    np.testing.assert_array_equal(again.log.moments.time, study.log.moments.time)
    assert again.behaviour == study.behaviour
    other = make_study(study.world, seed=2, behaviour=study.behaviour, calibrated=False)
    assert other.behaviour == study.behaviour
    assert len(other.log) != len(study.log)


def test_rows_are_in_order_of_time_and_within_the_month(study: Study) -> None:
    time = study.log.moments.time
    assert (np.diff(time) >= 0).all()
    assert time.max() <= MONTH - 25 * 3600
    assert (study.log.propensity > 0).all()
    assert study.log.allowed[np.arange(len(study.log)), study.log.joke].all()
    np.testing.assert_array_equal(study.liking, study.world.liking[study.log.moments.user, study.log.joke])


def test_a_first_guess_knows_something(study: Study) -> None:
    mean = study.world.liking.mean(axis=0)
    guesses = [np.corrcoef(first_guess(study.world, seed=s), mean)[0, 1] for s in range(30)]
    assert 0.3 < np.mean(guesses) < 0.95


def test_samples_are_test_rows_without_repeats(study: Study) -> None:
    rows = study.sample(40, seed=0)
    assert len(np.unique(rows)) == 40
    assert np.isin(rows, study.test).all()
    assert len(study.sample(10**6, seed=0)) == len(study.test)


# Measures


def test_offline_measures_are_their_parts(study: Study) -> None:
    rng = np.random.default_rng(0)
    rows, check = study.test, study.validation
    scores, positive = rng.standard_normal(len(rows)), study.labels["reuse"][rows]
    validation = rng.standard_normal(len(check))
    moments = study.log.moments.take(rows)
    found = offline(
        scores, positive, moments, validation_scores=validation, validation=study.labels["reuse"][check]
    )
    assert found.pooled == auroc(scores, positive)
    np.testing.assert_array_equal(found.customer.values, grouped_auc(scores, positive, moments.user).values)
    assert found.top == top_one(scores, positive, sessions_of(moments))
    assert found.accuracy == ((scores > 0) == positive).mean()
    edge = best_threshold(validation, study.labels["reuse"][check])
    assert found.accuracy_tuned == accuracy(scores, positive, edge)
    assert set(found.means) == {"pooled", "customer", "top-1", "accuracy", "accuracy-tuned"}


def test_perfect_and_useless_scores(study: Study) -> None:
    positive = study.labels["back"][study.test]
    moments = study.log.moments.take(study.test)
    given = study.labels["back"][study.validation]
    for scores, check, wanted in (
        (positive * 1.0 - 0.5, given * 1.0 - 0.5, 1.0),
        (positive * 0.0, given * 0.0, 0.5),
    ):
        found = offline(scores, positive, moments, validation_scores=check, validation=given)
        assert found.pooled == wanted
        assert found.customer.mean == wanted
    assert found.accuracy_tuned == pytest.approx(1 - positive.mean())  # the rarer label: always no


def test_bucket_means_give_the_mean_over_customers() -> None:
    rng = np.random.default_rng(0)
    values, users = rng.random(1000), rng.integers(0, 3000, 1000)
    items, weights = by_bucket(values, users)
    assert len(items) == BUCKETS
    assert items @ weights / weights.sum() == pytest.approx(values.mean())


# Scorers and rows


def test_who_and_when_cannot_order_a_list(study: Study) -> None:
    fitted = train_regression(study, "reuse", WHO_AND_WHEN, penalties=(10.0,))
    rows = study.sample(60, seed=0)
    found = experiment.choose(study, fitted, rows)
    assert set(found.auc[np.isfinite(found.auc)]) == {0.5}
    assert auroc(fitted.told[study.train], study.labels["reuse"][study.train]) > 0.55


def test_scores_of_told_jokes_are_read_from_all(study: Study) -> None:
    for name, one in experiment.simple_scorers(study, "back", seed=0).items():
        rows = np.arange(20)
        every = one.scorer(study.log.moments.take(rows))
        np.testing.assert_allclose(one.told[:20], every[rows, study.log.joke[:20]], err_msg=name)


def test_popularity_reads_training_rows_only(study: Study) -> None:
    turned = {name: values.copy() for name, values in study.labels.items()}
    turned["reuse"][study.test] ^= True
    other = replace(study, labels=turned)
    np.testing.assert_array_equal(
        train_popularity(study, "reuse").score, train_popularity(other, "reuse").score
    )
    one, two = (train_regression(s, "reuse", PLAIN, penalties=(10.0,)) for s in (study, other))
    np.testing.assert_array_equal(one.model.weights, two.model.weights)


def test_factors_fall_back_to_popularity_for_a_newcomer(study: Study) -> None:
    fitted = train_factors(study, "reuse", seed=0)
    new = np.flatnonzero(study.log.moments.count == 0)[:5]
    scores = fitted(study.log.moments.take(new))
    np.testing.assert_allclose(scores, np.broadcast_to(fitted.base, scores.shape), atol=1e-12)


def test_only_some_jokes_count(study: Study) -> None:
    """Among jokes of one liking for everybody there is nothing to order."""
    rows, only = study.sample(30, seed=0), np.zeros(30, dtype=bool)
    only[:8] = True
    scored = experiment.simple_scorers(study, "reuse", seed=0)["oracle"]
    kept = np.flatnonzero((study.log.allowed[rows] & only).any(axis=1))
    found = experiment.choose(study, scored.scorer, rows[kept], only=only)
    assert np.nanmin(found.auc) == 1.0
    liked = study.world.liking[study.log.moments.user[rows[kept]]]
    could = study.log.allowed[rows[kept]] & only
    np.testing.assert_array_equal(found.top, np.where(could, liked, -np.inf).max(axis=1))


def test_arms_by_name(study: Study) -> None:
    fitted = train_regression(study, "reuse", PLAIN, penalties=(10.0,))
    arms = experiment.online_arms(study, {"plain": fitted}, seed=0, days=5)
    assert set(arms) == {"rotation", "random", "oracle", "plain"}
    assert max(arms, key=lambda name: arms[name].means["liking"]) == "oracle"
    for arm in arms.values():
        assert arm.days == 5
        assert arm.log.moments.time.max() < MONTH + 5 * DAY


def test_sums_of_an_arm(study: Study) -> None:
    arm = summed_up(study.log, study.world.liking, 30)
    assert arm.told.sum() == len(study.log)
    assert arm.means["liking"] == pytest.approx(study.liking.mean())
    assert arm.means["interruptions"] == pytest.approx(study.log.cut.mean())
    assert arm.means["jokes-a-day"] == pytest.approx(len(study.log) / 120 / 30)


def test_nobody_is_told_again_online(study: Study) -> None:
    arm = run_arm(study, Random(), seed=0)
    for user in np.unique(arm.log.moments.user)[:40]:
        told = study.stage.history.told[user]
        before, now = told[told >= 0], arm.log.joke[arm.log.moments.user == user]
        assert not set(before) & set(now)
        assert len(set(now)) == len(now)


def test_the_truth_of_a_policy_is_what_it_earns(study: Study) -> None:
    """The log's own policy, valued as a new one: truth and observed reuse agree within their error."""
    fitted = train_regression(study, "reuse", PLAIN, penalties=(10.0,))
    found = off_policy(study, fitted)
    log = study.log.take(study.test)
    chances = study.launch.probabilities(log.moments, log.allowed)
    liking = np.nan_to_num(study.world.liking[log.moments.user])
    known = study.behaviour.expected_again(liking, study.people.talk[log.moments.user], log.moments)
    truth = float((chances * known).sum(axis=1).mean())
    error = np.sqrt(0.25 / len(log))
    assert abs(truth - found["logged"]) < 5 * error
    softened = Softened(fitted).probabilities(log.moments, log.allowed)
    assert found["truth"] == pytest.approx(float((softened * known).sum(axis=1).mean()))


@pytest.mark.slow
def test_the_knob_turns_what_is_learnt() -> None:
    """A strong effect, either way, in a world where only the quality of a joke matters."""
    taste = Taste(own=0.0, quality=1.5, personal=0.0, noise=0.0)
    world = material.generated_world(users=250, jokes=30, seed=5, taste=taste)
    gains = {s: experiment.strength_row(world, s, seed=5, days=10)["liking-gain"] for s in (-3.0, 3.0)}
    assert gains[-3.0] < -0.3
    assert gains[3.0] > 0.3


@pytest.mark.slow
def test_without_the_effect_a_label_does_not_rank() -> None:
    """Eight months at strength nought: popularity by the label orders jokes by chance. Its AUC at a moment
    has a spread of about 0.04 between such small months, so their mean one of 0.015.
    """
    world = material.generated_world(users=150, jokes=40, seed=6)
    found = []
    for seed in range(8):
        none = make_study(world, seed=seed, behaviour=Behaviour(strength=0.0), calibrated=False)
        choice = experiment.choose(none, train_popularity(none, "reuse"), none.sample(100, seed=0))
        found.append(np.nanmean(choice.auc))
    assert abs(np.mean(found) - 0.5) < 0.06


def test_windows_as_rows(study: Study) -> None:
    rows = [experiment.window_row(study, minutes, seed=0) for minutes in (1, 5)]
    assert rows[0]["rate"] < rows[1]["rate"]
    assert rows[1]["rate"] == pytest.approx(study.labels["reuse"].mean())
    credit = {name: experiment.credit_row(study, name, seed=0)["rate"] for name in ("all", "last")}
    assert credit["last"] < credit["all"] == pytest.approx(study.labels["back"].mean())


def test_without_confounders_only_the_joke_matters() -> None:
    behaviour = Behaviour(**UNCONFOUNDED)
    talk, place, late = np.array([-2.0, 2.0]), np.array([0, 5]), np.array([0.0, 1.0])
    found = behaviour.again(np.array([0.3, 0.3]), talk, place, late, False)
    assert found[0] == found[1]


def test_networks_by_name() -> None:
    assert set(experiment.NETWORKS) == {"transformer", "convolution", "single-task"}
    single = experiment.NETWORKS["single-task"]
    assert single.main == "back"
    assert single.tasks.labels == (0.0, 1.0)
    assert single.tasks.category == single.tasks.kind == 0.0
    assert experiment.FURTHER["focal"].tasks.gamma > 0
    assert not experiment.FURTHER["unweighted"].tasks.balanced
    assert set(experiment.ENCODERS) == {"transformer", "convolution"}
