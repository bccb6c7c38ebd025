"""What our own code must do, each as one figure, for the page and the tests."""

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from echobook.metrics.grouped_auc import grouped_auc
from echobook.metrics.off_policy import ips, weights_of
from echobook.papers.joke_skill.features import WITH_TEXT
from echobook.papers.joke_skill.history import History, replay
from echobook.papers.joke_skill.method import LABELS, PAPER_WINDOWS, fit_logistic, implicit_labels
from echobook.papers.joke_skill.training import MONTH, Study, train_regression

HAND_TIMES = np.array([0, 200, 500, 4100, 80_000])  # seconds
HAND_REUSE = [True, True, False, False, False]
HAND_BACK = [True, True, True, True, False]


def by_hand() -> int:
    """Labels that differ from five worked out by hand.

    Gaps of 200 and 300 seconds are reuse, one of 3,600 is not; the request at 4,100 lies 4,100, 3,900 and
    3,600 seconds after the first three, and the one at 80,000 less than 25 hours after the fourth.
    """
    reuse, back = implicit_labels(HAND_TIMES)
    return int((reuse != HAND_REUSE).sum() + (back != HAND_BACK).sum())


def slow_labels(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The definition, request by request."""
    reuse = [any(0 < r - t <= PAPER_WINDOWS.reuse for r in times) for t in times]
    window = PAPER_WINDOWS
    back = [any(window.return_from <= r - t <= window.return_to for r in times) for t in times]
    return np.array(reuse), np.array(back)


def by_loop(seed: int) -> int:
    """Labels that differ from the definition's loops, over fifty random customers."""
    rng, wrong = np.random.default_rng((seed, 31)), 0
    for _ in range(50):
        times = np.cumsum(1 + (rng.exponential(1, 40) ** 4 * 900).astype(np.int64))
        fast, slow = implicit_labels(times), slow_labels(times)
        wrong += int((fast[0] != slow[0]).sum() + (fast[1] != slow[1]).sum())
    return wrong


def by_replay(study: Study) -> int:
    """Labels of a simulated month that differ from those of each customer's requests by themselves.

    The last request may have found no joke left; it counts as a request.
    """
    history, wrong = study.stage.history, 0
    told = {name: study.labels[name] for name in LABELS}
    user, place = study.log.moments.user, study.log.moments.count
    for number in np.unique(user)[:200]:
        times = history.told_at[number, : history.count[number]]
        times = np.append(times, history.now[number]) if history.now[number] > times[-1] else times
        rows = np.flatnonzero(user == number)
        for name, alone in zip(LABELS, implicit_labels(times), strict=True):
            wrong += int((told[name][rows] != alone[place[rows]]).sum())
    return wrong


def peeks(study: Study) -> int:
    """Entries of what is known at a request that change when everything after day ten is cut off."""
    moments = study.log.moments
    early = np.flatnonzero(moments.time < MONTH // 3)
    before = moments.take(early)
    history = History(study.people.device, jokes=len(study.world.jokes), longest=study.world.liking.shape[1])
    again = replay(history, before.user, before.time, study.log.joke[early])
    width = again.told.shape[1]
    pairs = [(again.position, before.position)]
    pairs += [
        (getattr(again, name), getattr(before, name)[:, :width])
        for name in ("told", "told_at", "reuse", "back")
    ]
    return int(sum((one != other).sum() for one, other in pairs))


def area(seed: int) -> float:
    """Largest gap between AUCs inside groups and scikit-learn's, ties included."""
    rng = np.random.default_rng((seed, 32))
    scores, positive = rng.integers(0, 9, 600).astype(float), rng.random(600) < 0.3
    groups = rng.integers(0, 12, 600)
    found = grouped_auc(scores, positive, groups)
    known = [roc_auc_score(positive[groups == g], scores[groups == g]) for g in found.groups]
    return float(np.abs(found.values - known).max())


def coefficients(seed: int) -> float:
    """Largest gap between a coefficient and scikit-learn's at the same penalty."""
    rng = np.random.default_rng((seed, 33))
    features = sparse.random(400, 30, 0.3, format="csr", random_state=rng)
    labels = rng.random(400) < 0.3
    ours = fit_logistic(features, labels, penalty=2.0, steps=2000, tolerance=1e-10)
    known = LogisticRegression(C=0.5, tol=1e-10, max_iter=5000).fit(features, labels)
    gaps = np.append(ours.weights - known.coef_[0], ours.intercept - known.intercept_[0])
    return float(np.abs(gaps).max())


def all_at_once(study: Study) -> float:
    """Largest gap between scores of all jokes at once and of told jokes one by one."""
    fitted = train_regression(study, "reuse", WITH_TEXT, penalties=(10.0,))
    rows = study.sample(200, seed=0)
    every = fitted(study.log.moments.take(rows))
    alone = every[np.arange(len(rows)), study.log.joke[rows]]
    return float(np.abs(alone - fitted.told[rows]).max())


def chances(study: Study) -> float:
    """Largest gap of a row of the log's probabilities from one, or from what was kept as propensity."""
    log = study.log
    given = study.launch.probabilities(log.moments, log.allowed)
    kept = given[np.arange(len(log)), log.joke] - log.propensity
    return float(max(np.abs(given.sum(axis=1) - 1).max(), np.abs(kept).max()))


def unbiased(seed: int) -> float:
    """Gap between a policy's value and the mean IPS estimate over every log of two rounds, enumerated."""
    rng = np.random.default_rng((seed, 34))
    logged, target = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3))
    reward = rng.random(3)
    expected = 0.0
    for first in range(3):
        for second in range(3):
            pair = np.array([first, second])
            weight = weights_of(target[pair], logged[pair])
            expected += logged[first] * logged[second] * ips(reward[pair], weight, np.arange(2)).value
    return float(abs(expected - target @ reward))


def repeats(study: Study) -> int:
    """Jokes that a customer of the month was told twice."""
    told = study.stage.history.told
    return int(sum(len(row[row >= 0]) - len(np.unique(row[row >= 0])) for row in told))
