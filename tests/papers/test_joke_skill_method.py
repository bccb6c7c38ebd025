"""Labels, history, features and the regression of the joke chapter: by hand, by loops, by scikit-learn."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from echobook.papers.joke_skill import checks
from echobook.papers.joke_skill.features import (
    BY_TEXT,
    CROSSED,
    PLAIN,
    WITH_TEXT,
    Context,
    CrossGroup,
    CrossIdentity,
    CrossText,
    Customer,
    Description,
    Design,
    Identity,
    Past,
    Similarity,
    evening,
    own_rate,
    residuals,
)
from echobook.papers.joke_skill.history import History, join_moments, replay
from echobook.papers.joke_skill.material import generated_world, joke_table, text_vectors, tokenised
from echobook.papers.joke_skill.method import (
    HOUR,
    Windows,
    censored,
    class_weights,
    fit_logistic,
    implicit_labels,
)

LAST = Windows(credit="last")


def slow(times: np.ndarray, windows: Windows) -> tuple[list[bool], list[bool]]:
    """The definition; with credit to the last joke only, each request looks for the joke before it."""
    reuse = [any(0 < r - t <= windows.reuse for r in times) for t in times]
    if windows.credit == "all":
        return reuse, [any(windows.return_from <= r - t <= windows.return_to for r in times) for t in times]
    back = [False] * len(times)
    for r in times:
        before = [place for place, t in enumerate(times) if t < r]
        if before and windows.return_from <= r - times[before[-1]] <= windows.return_to:
            back[before[-1]] = True
    return reuse, back


def random_times(seed: int, count: int = 40) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.cumsum(1 + (rng.exponential(1, count) ** 4 * 900).astype(np.int64))


@pytest.mark.parametrize("windows", [Windows(), LAST, Windows(reuse=60), Windows(reuse=HOUR)])
@pytest.mark.parametrize("seed", range(4))
def test_labels_by_the_definition(seed: int, windows: Windows) -> None:
    times = random_times(seed)
    found = implicit_labels(times, windows)
    assert (found[0].tolist(), found[1].tolist()) == slow(times, windows)


def test_labels_by_hand() -> None:
    assert checks.by_hand() == 0


@pytest.mark.parametrize(
    ("gap", "reuse", "back"),
    [(300, True, False), (301, False, False), (3599, False, False), (3600, False, True),
     (90_000, False, True), (90_001, False, False)],
)  # fmt: skip
def test_ends_of_the_windows(gap: int, reuse: bool, back: bool) -> None:
    found = implicit_labels(np.array([100, 100 + gap]))
    assert (bool(found[0][0]), bool(found[1][0])) == (reuse, back)
    assert not found[0][1]
    assert not found[1][1]


def test_reuse_is_the_same_whoever_is_credited() -> None:
    for seed in range(10):
        one, other = (implicit_labels(random_times(seed), w) for w in (Windows(), LAST))
        np.testing.assert_array_equal(one[0], other[0])
        assert (one[1] >= other[1]).all()


def test_the_last_day_is_censored() -> None:
    times = np.array([0, 10_000, 10_001])
    assert censored(times, 100_000).tolist() == [False, False, True]


@pytest.mark.parametrize("times", [[0, 5, 5], [0, 9, 3]])
def test_a_clock_that_goes_backwards(times: list[int]) -> None:
    with pytest.raises(ValueError, match=f"row 2: expected a time after {times[1]}, got {times[2]}"):
        implicit_labels(np.array(times))


def test_windows_that_cannot_be_meant() -> None:
    with pytest.raises(ValueError, match="expected 0 < reuse <= return_from < return_to"):
        Windows(reuse=2 * HOUR)


# What is known of a customer


def told(times: list[int], windows: Windows = Windows()) -> History:  # noqa: B008
    """One customer who was told jokes 0, 1, ... at some seconds."""
    history = History(np.zeros(1, dtype=np.int64), jokes=50, longest=50, windows=windows)
    for joke, time in enumerate(times):
        history.ask(np.zeros(1, dtype=np.int64), np.array([time]))
        history.tell(np.zeros(1, dtype=np.int64), np.array([joke]))
    return history


@pytest.mark.parametrize("windows", [Windows(), LAST])
@pytest.mark.parametrize("seed", range(4))
def test_a_history_ends_with_the_labels_of_its_times(seed: int, windows: Windows) -> None:
    times = random_times(seed)
    history = told(times.tolist(), windows)
    history.ask(np.zeros(1, dtype=np.int64), times[-1:] + 200_000)
    labels = implicit_labels(times, windows)
    np.testing.assert_array_equal(history.reuse[0, : len(times)], labels[0])
    np.testing.assert_array_equal(history.back[0, : len(times)], labels[1])


def test_what_is_known_at_each_moment_by_hand() -> None:
    """Asked again after 200 s (reuse; the return is open), after 2 h (a return to both), after two days."""
    history, user = told([0]), np.zeros(1, dtype=np.int64)
    seen = []
    for joke, time in enumerate([200, 7400, 180_000], start=1):
        history.ask(user, np.array([time]))
        now = history.moments(user)
        seen.append((now.reuse[0].tolist(), now.back[0].tolist(), int(now.position[0])))
        history.tell(user, np.array([joke]))
    assert seen == [([1], [-1], 1), ([1, 0], [1, 1], 0), ([1, 0, 0], [1, 1, 0], 0)]


@pytest.mark.parametrize(
    ("gap", "reuse", "back"),
    [(300, 1, -1), (301, 0, -1), (3599, 0, -1), (3600, 0, 1), (90_000, 0, 1), (90_001, 0, 0)],
)
def test_ends_of_the_windows_in_a_history(gap: int, reuse: int, back: int) -> None:
    history, user = told([100]), np.zeros(1, dtype=np.int64)
    history.ask(user, np.array([100 + gap]))
    assert (history.reuse[0, 0], history.back[0, 0]) == (reuse, back)


def test_a_history_refuses() -> None:
    history, user = told([100]), np.zeros(1, dtype=np.int64)
    with pytest.raises(ValueError, match="customer 0: the clock goes backwards, from 100 to 100 seconds"):
        history.ask(user, np.array([100]))
    history.ask(user, np.array([200]))
    with pytest.raises(ValueError, match="customer 0 has heard joke 0 before"):
        history.tell(user, np.array([0]))


def test_a_replay_is_the_same_whatever_customers_come_between() -> None:
    times, others = random_times(1, 12), random_times(2, 9)
    user = np.r_[np.zeros(12, dtype=np.int64), np.ones(9, dtype=np.int64)]
    time, joke = np.r_[times, others], np.r_[np.arange(12), np.arange(9)]
    order = np.argsort(time, kind="stable")
    devices = np.zeros(2, dtype=np.int64)
    both = replay(History(devices, jokes=20, longest=20), user[order], time[order], joke[order])
    alone = replay(History(devices, jokes=20, longest=20), user[:12], time[:12], joke[:12])
    mine = both.take(np.flatnonzero(user[order] == 0))
    for name in ("told", "told_at", "reuse", "back"):
        np.testing.assert_array_equal(getattr(mine, name)[:, :11], getattr(alone, name)[:, :11])
    np.testing.assert_array_equal(mine.position, alone.position)


def test_moments_are_joined_to_the_longest() -> None:
    short, long = told([1]), told([1, 2, 3])
    user = np.zeros(1, dtype=np.int64)
    for history in (short, long):
        history.ask(user, np.array([10]))
    joined = join_moments([short.moments(user), long.moments(user)])
    assert joined.told.tolist() == [[0, -1, -1], [0, 1, 2]]
    assert joined.count.tolist() == [1, 3]


# Features


@pytest.fixture(scope="module")
def world():
    return generated_world(users=30, jokes=20, seed=0)


@pytest.fixture(scope="module")
def asked(world):
    """Moments of thirty customers with up to twelve jokes each, and a joke for each moment."""
    rng = np.random.default_rng(5)
    users = np.repeat(np.arange(30), 12)
    time = np.concatenate([random_times(s, 12) for s in range(30)])
    joke = np.concatenate([rng.permutation(20)[:12] for _ in range(30)])
    history = History(rng.integers(0, 3, 30), jokes=20, longest=20)
    return replay(history, users, time, joke), joke


def test_rates_and_residuals_by_hand() -> None:
    """One positive of two known outcomes, drawn towards one half by four: rate one half."""
    history, user = told([0, 200]), np.zeros(1, dtype=np.int64)
    history.ask(user, np.array([1000]))
    now = history.moments(user)
    assert own_rate(now, "reuse").tolist() == [0.5]
    assert own_rate(now, "back").tolist() == [0.2]  # nothing known yet
    size = np.sqrt(6.0) / 2
    np.testing.assert_allclose(residuals(now, "reuse", 3).toarray(), [[0.5 / size, -0.5 / size, 0]])
    assert residuals(now, "back", 3).nnz == 0


def test_evening_by_hand() -> None:
    assert evening(np.array([17, 18, 22, 23]) * HOUR + 86_400).tolist() == [0, 1, 1, 0]


ALL = [
    Customer(),
    Context(),
    Identity(),
    Description(),
    CrossIdentity(),
    CrossGroup("kind"),
    CrossText(),
    Similarity(),
]


@pytest.mark.parametrize("block", ALL, ids=lambda block: type(block).__name__)
def test_scores_of_all_jokes_are_those_of_the_rows(world, asked, block) -> None:
    moments, joke = asked
    past = Past(moments, world.jokes, "reuse")
    rows = block.rows(past, joke)
    weights = np.random.default_rng(1).standard_normal(rows.shape[1])
    every = np.broadcast_to(block.scores(weights, past), (len(moments), 20))
    np.testing.assert_allclose(every[np.arange(len(joke)), joke], rows @ weights, atol=1e-9)


def test_without_crosses_every_list_has_the_same_order(world, asked) -> None:
    moments, joke = asked
    labels = np.random.default_rng(2).random(len(joke)) < 0.5
    for blocks, same in ((PLAIN, True), (CROSSED, False), (WITH_TEXT, False), (BY_TEXT, False)):
        design = Design(world.jokes, "reuse", blocks)
        model = fit_logistic(design.rows(moments, joke), labels, penalty=1.0)
        scores = design.scores(model, moments)
        gaps = scores - scores[:, :1]
        assert bool(np.ptp(gaps, axis=0).max() < 1e-9) == same


def test_a_joke_that_does_not_exist(world, asked) -> None:
    moments, joke = asked
    with pytest.raises(ValueError, match=r"joke: expected numbers in 0\.\.19, got 20"):
        Design(world.jokes, "reuse", PLAIN).rows(moments, joke * 0 + 20)


# The regression


def data(seed: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = sparse.random(300, 12, 0.4, format="csr", random_state=rng)
    return features, rng.random(300) < 1 / (1 + np.exp(-3 * (features @ rng.standard_normal(12))))


@pytest.mark.parametrize("balanced", [False, True])
def test_coefficients_are_scikit_learn_s(balanced: bool) -> None:
    features, labels = data(0)
    ours = fit_logistic(features, labels, penalty=0.5, balanced=balanced, steps=3000, tolerance=1e-9)
    weight = "balanced" if balanced else None
    known = LogisticRegression(C=2.0, class_weight=weight, tol=1e-10, max_iter=9000).fit(features, labels)
    np.testing.assert_allclose(ours.weights, known.coef_[0], atol=1e-4)
    assert ours.intercept == pytest.approx(known.intercept_[0], abs=1e-4)


def test_the_gradient_vanishes_at_the_end() -> None:
    """Central differences of the loss, written out anew in float64."""
    features, labels = data(1)
    fitted = fit_logistic(features, labels, penalty=2.0, steps=3000, tolerance=1e-10)
    theta = np.append(fitted.weights, fitted.intercept)

    def loss(point: np.ndarray) -> float:
        z = features @ point[:-1] + point[-1]
        return float(np.log1p(np.exp(np.where(labels, -z, z))).sum() + point[:-1] @ point[:-1])

    for place in range(len(theta)):
        step = np.zeros(len(theta))
        step[place] = 1e-5
        assert abs(loss(theta + step) - loss(theta - step)) / 2e-5 < 1e-3


def test_balanced_weights_by_hand() -> None:
    labels = np.array([True, False, False, False])
    np.testing.assert_allclose(class_weights(labels, balanced=True), [2, 2 / 3, 2 / 3, 2 / 3])
    with pytest.raises(ValueError, match="one class only"):
        class_weights(labels[1:], balanced=True)


@pytest.mark.parametrize(("rows", "penalty"), [(0, 1.0), (2, 1.0), (3, 0.0)])
def test_regressions_refuse(rows: int, penalty: float) -> None:
    with pytest.raises(ValueError, match="as many labels as rows, and a penalty > 0"):
        fit_logistic(sparse.csr_matrix((rows, 2)), np.ones(3, dtype=bool), penalty=penalty)


# Texts


def test_words_of_one_text_share_a_number() -> None:
    tokens, vocabulary = tokenised(["a goat", "a lamp and a goat", "only here"])
    assert vocabulary == 4
    assert tokens.tolist() == [[2, 3, 0, 0, 0], [2, 1, 1, 2, 3], [1, 1, 0, 0, 0]]


def test_text_vectors_have_unit_length(world) -> None:
    table = world.jokes
    np.testing.assert_allclose(np.linalg.norm(table.vectors, axis=1), 1, atol=1e-9)
    again = text_vectors([joke.text for joke in table.jokes], 16)
    np.testing.assert_array_equal(table.vectors, again)
    assert len(table) == table.described.shape[0] == 20
    with pytest.raises(ValueError, match="expected at least 3, got 1"):
        joke_table(table.jokes[:1])
