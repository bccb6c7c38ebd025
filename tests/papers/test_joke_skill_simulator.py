"""Simulated customers, policies, measures, and the online test of the joke chapter."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit

from echobook.metrics.open_set import auroc
from echobook.papers.joke_skill import checks
from echobook.papers.joke_skill.baselines import Constant, Factors, factorise, fold_in, popularity
from echobook.papers.joke_skill.evaluation import (
    BUCKETS,
    accuracy,
    best_threshold,
    by_bucket,
    choice_quality,
    relative_change,
    sessions_of,
    top_one,
)
from echobook.papers.joke_skill.features import DAY, PLAIN, residuals
from echobook.papers.joke_skill.history import History
from echobook.papers.joke_skill.material import generated_world
from echobook.papers.joke_skill.method import HOUR, MINUTE
from echobook.papers.joke_skill.online import (
    a_a_coverage,
    off_policy,
    ratio_difference,
    row_difference,
    run_arm,
)
from echobook.papers.joke_skill.policies import (
    Greedy,
    Launch,
    Random,
    Rotation,
    Softened,
    oracle,
    rotation,
    softmax,
    uniform,
)
from echobook.papers.joke_skill.simulator import (
    Behaviour,
    People,
    Policy,
    draw_people,
    drawn,
    simulate,
    start,
)
from echobook.papers.joke_skill.training import (
    MONTH,
    TEST_FROM,
    VALIDATION_FROM,
    calibrate,
    final_labels,
    make_study,
    train_regression,
)


@pytest.fixture(scope="module")
def world():
    return generated_world(users=200, jokes=40, seed=0)


@pytest.fixture(scope="module")
def study(world):
    return make_study(world, seed=0)


# Behaviour


def test_probabilities_by_hand() -> None:
    behaviour = Behaviour(strength=0.5, reuse_base=0.1)
    found = behaviour.again(np.array([2.0]), np.array([1.0]), np.array([3]), np.array([1.0]), True)
    expected = 0.1 + 0.5 * (0.6 * 2 - 0.6) + 0.8 - 0.2 * 3 + 0.4
    assert found[0] == pytest.approx(expit(expected))
    assert behaviour.cut(np.array([2.0]))[0] == pytest.approx(expit(-1.5 - 1.4))
    assert behaviour.back(np.array([2.0]), np.array([1.0]))[0] == pytest.approx(expit(-1.4 + 0.5 + 0.6))


def test_at_strength_nought_neither_label_depends_on_the_joke() -> None:
    behaviour, one = Behaviour(strength=0.0), np.ones(1)
    for liking, cut in ((3.0, False), (-3.0, True)):
        again = behaviour.again(np.array([liking]), one, np.array([0]), one, cut)
        assert again[0] == behaviour.again(np.zeros(1), one, np.array([0]), one, False)[0]
        assert behaviour.back(np.array([liking]), one)[0] == behaviour.back(np.zeros(1), one)[0]


def test_expected_reuse_is_the_mean_over_interruptions(study) -> None:
    rows = study.log.moments.take(np.arange(3))
    liking, talk = np.array([[0.3, -1.0]] * 3), np.zeros(3)
    found = study.behaviour.expected_again(liking, talk, rows)
    cut = study.behaviour.cut(liking)
    late = (rows.time % DAY // HOUR >= 18) & (rows.time % DAY // HOUR < 23)
    for n in range(3):
        for j in range(2):
            with_, without = (
                study.behaviour.again(
                    liking[n, j : j + 1], talk[n : n + 1], rows.position[n : n + 1], late[n : n + 1] * 1.0, c
                )[0]
                for c in (True, False)
            )
            assert found[n, j] == pytest.approx(cut[n, j] * with_ + (1 - cut[n, j]) * without)


def test_gaps_fall_where_the_model_says(world) -> None:
    """Who always asks again does so within five minutes; who never does comes back in a day, or later."""
    people = draw_people(200, seed=1, arrive_within=DAY)
    for base, back, low, high in (
        (50.0, 0.0, 0, 5 * MINUTE),
        (-50.0, 50.0, HOUR, 25 * HOUR),
        (-50.0, -50.0, 25 * HOUR, 10**9),
    ):
        behaviour = Behaviour(reuse_base=base, back_base=back, later=0.0)
        stage = start(world, people)
        simulate(stage, world, people, behaviour, Random(), until=20 * DAY, seed=2)
        times, told = stage.history.told_at, stage.history.told
        gaps = np.diff(times, axis=1)[told[:, 1:] >= 0]
        assert len(gaps) > 50
        assert gaps.min() > low - (low > 0)
        assert gaps.max() <= high


def test_calibrated_rates(study) -> None:
    assert abs(study.labels["reuse"].mean() - 0.5) < 0.03
    assert abs(study.labels["back"].mean() - 0.2) < 0.03


def test_calibration_moves_both_bases(world) -> None:
    people = draw_people(200, seed=7, arrive_within=DAY)
    far = Behaviour(reuse_base=2.0, back_base=1.0)
    found = calibrate(world, people, far, Random(), until=MONTH, seed=8)
    assert found.reuse_base < 1.0
    assert found.back_base < 0.0
    assert replace(found, reuse_base=2.0, back_base=1.0) == far
    same = calibrate(world, people, far, Random(), until=MONTH, seed=8, rounds=0)
    assert same == far


def test_luck_belongs_to_customer_and_number(world) -> None:
    """Two policies that always tell the same joke first meet the same first reaction."""
    people = draw_people(200, seed=3, arrive_within=DAY)
    seconds = []
    for policy in (Random(), Random()):
        stage = start(world, people)
        simulate(stage, world, people, Behaviour(), policy, until=10 * DAY, seed=4)
        seconds.append(stage.history.told_at[:, 1])
    np.testing.assert_array_equal(*seconds)


def test_a_customer_without_jokes_stops(world) -> None:
    liking = np.full_like(world.liking, np.nan)
    liking[:, :2] = 1.0
    few = replace(world, liking=liking)
    people = draw_people(200, seed=5, arrive_within=DAY)
    stage = start(few, people)
    log = simulate(stage, few, people, Behaviour(), Random(), until=MONTH, seed=6)
    assert np.bincount(log.moments.user).max() == 2
    assert set(log.joke) == {0, 1}


def test_jokes_wait_for_their_release(world) -> None:
    late = replace(world, released=np.where(np.arange(40) < 20, 0, TEST_FROM))
    people = draw_people(200, seed=5, arrive_within=DAY)
    log = simulate(start(late, people), late, people, Behaviour(), Random(), until=MONTH, seed=6)
    assert log.moments.time[log.joke >= 20].min() >= TEST_FROM
    assert (log.joke >= 20).any()


def test_nobody_asks(world) -> None:
    people = People(np.zeros(200), np.zeros(200, dtype=np.int64), np.full(200, 10 * DAY))
    with pytest.raises(ValueError, match=f"nobody asks before second {DAY}"):
        simulate(start(world, people), world, people, Behaviour(), Random(), until=DAY, seed=0)


def test_labels_that_are_still_open(study, world) -> None:
    stage = start(world, study.people)
    log = simulate(stage, world, study.people, study.behaviour, study.launch, until=MONTH, seed=0)
    labels = final_labels(stage.history, log, MONTH)
    open_ = log.moments.time > MONTH - 25 * HOUR
    for values in labels.values():
        np.testing.assert_array_equal(values == -1, open_)
    assert len(study.log) == (~open_).sum()


def test_the_split_is_by_time(study) -> None:
    time = study.log.moments.time
    assert time[study.train].max() < VALIDATION_FROM <= time[study.validation].min()
    assert time[study.validation].max() < TEST_FROM <= time[study.test].min()
    assert len(study.train) + len(study.validation) + len(study.test) == len(study.log)


def test_checks_of_a_study(study) -> None:
    assert checks.by_replay(study) == 0
    assert checks.peeks(study) == 0
    assert checks.repeats(study) == 0
    assert checks.chances(study) < 1e-9
    assert checks.all_at_once(study) < 1e-9


def test_a_look_into_the_future_is_seen(study) -> None:
    """The check fails for a history that knows a return before it has happened."""
    moments = study.log.moments
    wrong = replace(moments, back=np.where(moments.back == -1, 1, moments.back))
    assert checks.peeks(replace(study, log=replace(study.log, moments=wrong))) > 0


@pytest.mark.parametrize("seed", range(3))
def test_checks_without_a_study(seed: int) -> None:
    assert checks.by_loop(seed) == 0
    assert checks.area(seed) < 1e-12
    assert checks.coefficients(seed) < 1e-4
    assert checks.unbiased(seed) < 1e-12


# Policies

ALLOWED = np.array([[True, True, False], [False, True, True]])


def test_policies_by_hand(study) -> None:
    two = study.log.moments.take(np.arange(2))
    np.testing.assert_allclose(uniform(ALLOWED), [[0.5, 0.5, 0], [0, 0.5, 0.5]])
    guess = np.log(np.array([1.0, 3.0, 9.0]))
    np.testing.assert_allclose(softmax(np.tile(guess, (2, 1)), ALLOWED), [[0.25, 0.75, 0], [0, 0.25, 0.75]])
    launch = Launch(guess, explore=0.5).probabilities(two, ALLOWED)
    np.testing.assert_allclose(launch, [[0.375, 0.625, 0], [0, 0.375, 0.625]])
    greedy = Greedy(lambda moments: np.tile(guess, (2, 1))).probabilities(two, ALLOWED)
    np.testing.assert_array_equal(greedy, [[0, 1, 0], [0, 0, 1]])


def test_a_rotation_goes_round(study) -> None:
    one = study.log.moments.take(np.zeros(1, dtype=np.int64))
    turn = Rotation(np.array([2, 0, 1]), np.full(200, 1))  # from place 1: joke 2, then 0, then 1
    left, order = np.ones((1, 3), dtype=bool), []
    while left.any():
        order.append(int(turn.probabilities(one, left).argmax()))
        left[0, order[-1]] = False
    assert order == [2, 0, 1]


def policies(study) -> dict[str, Policy]:
    scores = np.random.default_rng(0).standard_normal((200, 40))

    def scorer(moments):
        return scores[moments.user]

    return {
        "random": Random(),
        "launch": study.launch,
        "rotation": rotation(40, 200, seed=0),
        "greedy": Greedy(scorer),
        "softened": Softened(scorer),
        "oracle": oracle(study.world.liking),
    }


@pytest.mark.parametrize("name", ["random", "launch", "rotation", "greedy", "softened", "oracle"])
def test_every_policy_sums_to_one_over_allowed_jokes(study, name: str) -> None:
    rows = study.log.take(np.arange(100))
    chances = policies(study)[name].probabilities(rows.moments, rows.allowed)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    assert (chances[~rows.allowed] == 0).all()
    assert (chances >= 0).all()


def test_draws_have_the_given_chances() -> None:
    chances = np.tile([0.0, 0.2, 0.0, 0.8, 0.0], (4000, 1))
    found = drawn(chances, (np.arange(4000) + 0.5) / 4000)
    assert np.bincount(found, minlength=5).tolist() == [0, 800, 0, 3200, 0]
    assert drawn(chances[:2], np.array([0.0, 1.0 - 1e-12])).tolist() == [1, 3]
    with pytest.raises(ValueError, match=r"rows that sum to one, got 0\.5"):
        drawn(np.array([[0.5, 0.0]]), np.array([0.1]))


def test_policies_refuse(study) -> None:
    with pytest.raises(ValueError, match="moment 1: no joke is allowed"):
        uniform(np.array([[True], [False]]))
    with pytest.raises(ValueError, match=r"explore: expected a share in \(0, 1\]"):
        Launch(np.zeros(3), explore=0.0)
    with pytest.raises(ValueError, match="temperature: expected > 0"):
        Softened(lambda moments: np.zeros((1, 1)), temperature=0.0)


# Measures


def test_measures_by_hand(study) -> None:
    scores = np.array([[3.0, 2, 1], [1, 2, 3]])
    liking = np.array([[1.0, -1, 5], [2.0, -1, 1]])
    found = choice_quality(scores, ALLOWED, liking)
    assert found.auc.tolist() == [1.0, 1.0]
    assert found.top.tolist() == [1.0, 1.0]
    flat = choice_quality(scores * 0, ALLOWED, liking)
    assert flat.auc.tolist() == [0.5, 0.5]
    one_kind = choice_quality(scores, np.array([[True, False, True], [True, True, False]]), liking)
    assert np.isnan(one_kind.auc[0])
    assert one_kind.auc[1] == 0.0
    with pytest.raises(ValueError, match="moment 0: no joke is allowed"):
        choice_quality(scores, ALLOWED & False, liking)


def test_top_one_by_hand() -> None:
    """A list that is right, one whose tie is half right, and one of a single row that does not count."""
    scores = np.array([2.0, 1, 3, 3, 9])
    positive = np.array([True, False, True, False, False])
    assert top_one(scores, positive, np.array([0, 0, 1, 1, 2])) == 0.75
    with pytest.raises(ValueError, match="none has two rows"):
        top_one(scores[:1], positive[:1], np.array([0]))


def test_thresholds_by_enumeration() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, positive = rng.integers(0, 5, 12).astype(float), rng.random(12) < 0.4
        best = max(accuracy(scores, positive, t) for t in (-np.inf, *scores))
        assert accuracy(scores, positive, best_threshold(scores, positive)) == best


def test_sessions_and_buckets(study) -> None:
    rows = study.log.moments
    session = sessions_of(rows)
    assert len(np.unique(session)) == ((rows.position == 0) | (rows.count == 0)).sum()
    means, weights = by_bucket(
        np.array([1.0, 3.0, 5.0]), np.array([0, BUCKETS, 1]), np.array([1.0, 3.0, 2.0])
    )
    assert means[:2].tolist() == [2.5, 5.0]
    assert weights[:2].tolist() == [4.0, 2.0]
    assert weights[2:].sum() == 0
    assert relative_change(0.6, 0.5) == pytest.approx(20)


# Baselines


def test_popularity_by_hand() -> None:
    """Nobody can tell a joke that was told once from the rest; one told often stands out."""
    joke = np.array([0] * 300 + [1] * 300 + [2])
    label = np.array([True] * 300 + [False] * 300 + [True])
    score = popularity(joke, label, np.full(601, 5), 4)
    rate = expit(score)
    overall = 301 / 601
    assert rate[0] == pytest.approx((300 + 30 * overall) / 330)
    assert rate[2] == pytest.approx((1 + 30 * overall) / 31)
    assert rate[3] == pytest.approx(overall)
    assert score[0] > score[2] > score[3] > score[1]
    with pytest.raises(ValueError, match="at least one told joke"):
        popularity(joke[:0], label[:0], joke[:0], 3)


def test_old_tellings_count_less() -> None:
    time = np.array([0] * 100 + [14 * DAY] * 100)
    label = np.array([True] * 100 + [False] * 100)
    rate = expit(popularity(np.zeros(200, dtype=np.int64), label, time, 1))
    assert rate[0] == pytest.approx(1 / 3)


def test_factors_find_what_is_there() -> None:
    """Two kinds of people who like opposite halves of the jokes."""
    rng = np.random.default_rng(0)
    kind, half = np.where(rng.random(200) < 0.5, 1.0, -1.0), np.where(np.arange(20) < 10, 1.0, -1.0)
    known = sparse.csr_matrix(np.where(rng.random((200, 20)) < 0.5, np.outer(kind, half), 0.0))
    vectors = factorise(known, factors=2, ridge=0.1, sweeps=8, seed=0)
    guess = fold_in(known, vectors, 0.1) @ vectors.T
    assert (np.sign(guess) == np.outer(kind, half)).mean() > 0.99
    with pytest.raises(ValueError, match="factors and sweeps >= 1"):
        factorise(known, factors=0, ridge=1.0, sweeps=1, seed=0)


def test_folding_in_solves_the_ridge_problem(study) -> None:
    known = residuals(study.log.moments.take(study.test[:5]), "reuse", 40)
    vectors = np.random.default_rng(0).standard_normal((40, 3))
    found = fold_in(known, vectors, 0.7)
    for row in range(5):
        part = known[row].indices
        left = vectors[part].T @ vectors[part] + 0.7 * np.eye(3)
        np.testing.assert_allclose(found[row], np.linalg.solve(left, vectors[part].T @ known[row].data))
    base = Constant(np.arange(40.0))
    same = Factors(base.score, vectors * 0, 1.0, "reuse")
    rows = study.log.moments.take(np.arange(4))
    np.testing.assert_array_equal(same(rows), base(rows))


# Online


def test_arms_leave_the_study_alone_and_repeat(study) -> None:
    before = study.stage.history.count.copy()
    one, two = (run_arm(study, Random(), seed=1) for _ in range(2))
    np.testing.assert_array_equal(study.stage.history.count, before)
    assert dict(one.means) == dict(two.means)
    assert one.told.sum() == len(one.log)
    assert one.log.moments.time.min() >= MONTH - 25 * HOUR


def test_the_oracle_is_a_ceiling(study) -> None:
    best, some = (run_arm(study, policy, seed=1).means for policy in (oracle(study.world.liking), Random()))
    assert best["liking"] > some["liking"] + 0.5
    assert best["interruptions"] < some["interruptions"]


def test_a_model_gains_when_the_label_carries_taste(world) -> None:
    """A strong effect and no noise: the regression must beat chance by far."""
    easy = make_study(world, seed=2, behaviour=Behaviour(strength=4.0))
    fitted = train_regression(easy, "reuse", PLAIN)
    arms = [run_arm(easy, policy, seed=3).means["liking"] for policy in (Greedy(fitted), Random())]
    assert arms[0] > arms[1] + 0.2


def test_differences_by_hand() -> None:
    total, count = np.array([2.0, 4.0, 1.0, 1.0]), np.array([1, 2, 1, 1])
    found = ratio_difference(total, count, np.array([True, True, False, False]))
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)
    assert not found.covers_zero
    rows = row_difference(
        np.array([2.0, 2, 2, 1, 1]), np.array([0, 1, 1, 2, 3]), np.array([True, True, False, False])
    )
    assert rows.value == 1.0
    with pytest.raises(ValueError, match="a group has heard nothing"):
        ratio_difference(total, count * 0, np.array([True, True, False, False]))


def test_customers_as_units_cover_and_told_jokes_do_not(study) -> None:
    arm = run_arm(study, Random(), seed=5)
    found = a_a_coverage(arm, study.world.liking, splits=200, seed=0)
    assert found["customers"] > 0.9
    assert found["tellings"] < found["customers"]


def test_off_policy_against_the_truth(study) -> None:
    fitted = train_regression(study, "reuse", PLAIN, penalties=(10.0,))
    found = off_policy(study, fitted)
    for name in ("ips", "snips", "doubly-robust"):
        assert abs(found[name].value - found["truth"]) < 0.1
        assert found[name].low < found[name].value < found[name].high
    assert 0 < found["truth"] < 1


def test_unknown_labels_are_refused(study) -> None:
    with pytest.raises(ValueError, match="label 'smile': expected one of reuse, back"):
        train_regression(study, "smile", ())


def test_the_penalty_is_the_best_on_validation_rows(study) -> None:
    fitted = train_regression(study, "reuse", PLAIN)
    assert fitted.tried[fitted.penalty] == max(fitted.tried.values())
    rows = study.validation
    assert auroc(fitted.told[rows], study.labels["reuse"][rows]) == fitted.tried[fitted.penalty]


def test_histories_are_independent_copies(study) -> None:
    twin = study.stage.history.copy()
    assert isinstance(twin, History)
    twin.count += 1
    assert (twin.count != study.stage.history.count).all()
