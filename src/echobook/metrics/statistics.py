"""Intervals and tests for paired scores: bootstrap, t interval, sign flips, sign test, Holm's correction.

Two systems are scored on the same N items (or the same S seeds), so everything here works on pairs.

- Bootstrap (Efron and Tibshirani 1993, chapters 12 to 13): percentile interval of the mean (weighted if
  weights are given) over resampled units; units are items, groups of items, or seeds and then the items
  within each.
- t interval over seeds: mean +- t_{S-1} s / sqrt(S); s is the sample standard deviation.
- Sign flips: under the null hypothesis each difference is symmetric around 0; all 2^n flips when n <= 12,
  else seeded Monte Carlo with p = (1 + hits) / (1 + flips) (Phipson and Smyth 2010).
- Holm (1979): step-down adjusted p values.

Axes: N items, G groups, S seeds, R resamples, C summed columns. Time O(R N), memory O(2^22) at a time:
resampling is done on sums of units, in chunks. All sums are float64. Randomness enters as a seed; nothing
global is touched.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped
from scipy import stats

Scores = Shaped[np.ndarray, "N"] | Sequence[int | float]
Ragged = Sequence[Shaped[np.ndarray, "_"] | Sequence[int | float]]  # one for each seed, lengths may differ
Alternative = Literal["two-sided", "greater", "less"]
Aggregate = Literal["mean", "median", "min", "max"]
EXACT_FLIPS = 12
_CHUNK = 2**22


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval at confidence `level`, and its standard error."""

    estimate: float
    low: float
    high: float
    level: float
    standard_error: float


def _finite(name: str, scores: Scores, least: int = 1) -> Float[np.ndarray, "N"]:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or len(values) < least:
        raise ValueError(
            f"{name}: expected at least {least} scores in one dimension, found shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: expected finite scores, found {values[~np.isfinite(values)][0]}")
    return values


def _differences(a: Scores, b: Scores) -> Float[np.ndarray, "N"]:
    left, right = _finite("a", a), _finite("b", b)
    if len(left) != len(right):
        raise ValueError(f"a and b: expected paired scores, found {len(left)} and {len(right)}")
    return left - right


def _percentiles(estimate: float, draws: Float[np.ndarray, "R"], level: float) -> Interval:
    if not 0 < level < 1:
        raise ValueError(f"level: expected between 0 and 1, found {level}")
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(estimate, float(low), float(high), level, float(np.std(draws, ddof=1)))


def sum_by_group(columns: Float[np.ndarray, "N C"], groups: Scores | None) -> Float[np.ndarray, "G C"]:
    """Sum the rows of each group; without groups every row is its own."""
    if groups is None:
        return columns
    labels = np.asarray(groups)
    if labels.shape != columns.shape[:1]:
        raise ValueError(f"groups: expected {len(columns)} labels, found shape {labels.shape}")
    names, index = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(names), columns.shape[1]))
    np.add.at(sums, index, columns)
    return sums


def resampled_sums(
    columns: Float[np.ndarray, "G C"], *, rng: np.random.Generator, resamples: int
) -> Float[np.ndarray, "R C"]:
    """Return column sums over units drawn with replacement, as many as there are, `resamples` times."""
    units = len(columns)
    parts, step = [], max(1, _CHUNK // units)
    for start in range(0, resamples, step):
        drawn = rng.integers(units, size=(min(step, resamples - start), units))
        parts.append(np.stack([column[drawn].sum(axis=1) for column in columns.T], axis=1))  # (r, C)
    return np.concatenate(parts)


def _check_resamples(resamples: int) -> None:
    if resamples < 100:
        raise ValueError(f"resamples: expected at least 100, found {resamples}")


def _weighted(scores: Float[np.ndarray, "N"], weights: Scores | None) -> Float[np.ndarray, "N 2"]:
    """Columns w s and w, whose sums give the weighted mean."""
    mass = np.ones_like(scores) if weights is None else _finite("weights", weights)
    if mass.shape != scores.shape or (mass < 0).any() or mass.sum() <= 0:
        raise ValueError(f"weights: expected {len(scores)} non-negative values with a positive sum")
    return np.stack([mass * scores, mass], axis=1)


def bootstrap_mean(
    scores: Scores,
    *,
    seed: int,
    resamples: int = 10_000,
    groups: Scores | None = None,
    weights: Scores | None = None,
    level: float = 0.95,
) -> Interval:
    """Return the (weighted) mean of N scores with its percentile bootstrap interval.

    `groups`: N labels; items of one label are drawn together. `weights`: N non-negative weights, such as
    words in each utterance, so that the mean of error rates is the corpus rate. Raises ValueError for
    empty, ragged, negative-weight or non-finite input and for fewer than 100 resamples.
    """
    _check_resamples(resamples)
    columns = _weighted(_finite("scores", scores), weights)
    total = columns.sum(axis=0)
    sums = resampled_sums(sum_by_group(columns, groups), rng=np.random.default_rng(seed), resamples=resamples)
    sums = sums[sums[:, 1] > 0]  # a draw of only zero-weight items has no mean
    return _percentiles(float(total[0] / total[1]), sums[:, 0] / sums[:, 1], level)


def paired_bootstrap(
    a: Scores,
    b: Scores,
    *,
    seed: int,
    resamples: int = 10_000,
    groups: Scores | None = None,
    weights: Scores | None = None,
    level: float = 0.95,
) -> Interval:
    """Return mean(a) - mean(b) over the same N items with its percentile interval; pairs are drawn together.

    Options and errors as in `bootstrap_mean`; unequal lengths of `a` and `b` are refused too.
    """
    return bootstrap_mean(
        _differences(a, b), seed=seed, resamples=resamples, groups=groups, weights=weights, level=level
    )


def hierarchical_bootstrap(
    scores: Ragged,
    *,
    seed: int,
    resamples: int = 10_000,
    weights: Ragged | None = None,
    groups: Ragged | None = None,
    level: float = 0.95,
) -> Interval:
    """Return the mean over S seeds of each seed's mean, drawing seeds and then items (or groups) within each.

    `scores`: for each seed its N_s scores (differences, for a paired comparison); lengths may differ.
    """
    _check_resamples(resamples)
    count = len(scores)
    if count < 2:
        raise ValueError(f"scores: expected at least 2 seeds, found {count}")
    columns = [_weighted(_finite("scores", s), weights[k] if weights else None) for k, s in enumerate(scores)]
    units = [sum_by_group(table, groups[k] if groups else None) for k, table in enumerate(columns)]
    rng = np.random.default_rng(seed)
    drawn = rng.integers(count, size=(resamples, count))
    means = np.empty((resamples, count))
    for k, table in enumerate(units):
        sums = resampled_sums(table, rng=rng, resamples=int((drawn == k).sum()) + 1)[1:]
        means[drawn == k] = sums[:, 0] / sums[:, 1]
    estimate = float(np.mean([table[:, 0].sum() / table[:, 1].sum() for table in columns]))
    return _percentiles(estimate, means.mean(axis=1), level)


def aggregated(values: Float[np.ndarray, "*R S"], how: Aggregate) -> Float[np.ndarray, "*R"] | np.floating:
    """Return the mean, median, smallest or largest value along the last axis."""
    if how == "median":
        return np.median(values, axis=-1)
    if how == "mean":
        return np.mean(values, axis=-1)
    return np.min(values, axis=-1) if how == "min" else np.max(values, axis=-1)


def bootstrap_aggregate(
    values: Scores,
    aggregate: Aggregate,
    *,
    seed: int,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """Return an aggregate over S >= 2 seeds with its percentile interval over resampled seeds."""
    _check_resamples(resamples)
    table = _finite("values", values, least=2)
    drawn = np.random.default_rng(seed).integers(len(table), size=(resamples, len(table)))
    estimate = float(aggregated(table, aggregate))
    return _percentiles(estimate, np.asarray(aggregated(table[drawn], aggregate)), level)


def mean_interval_t(values: Scores, *, level: float = 0.95) -> Interval:
    """Return the mean of S >= 2 values with its Student t interval."""
    table = _finite("values", values, least=2)
    if not 0 < level < 1:
        raise ValueError(f"level: expected between 0 and 1, found {level}")
    error = float(np.std(table, ddof=1) / math.sqrt(len(table)))
    half = float(stats.t.ppf((1 + level) / 2, len(table) - 1)) * error
    mean = float(np.mean(table))
    return Interval(mean, mean - half, mean + half, level, error)


def _flips(n: int, rng: np.random.Generator, resamples: int) -> tuple[Float[np.ndarray, "R n"], bool]:
    """All sign vectors of length n when n <= 12 (True), else a random draw of them (False)."""
    if n <= EXACT_FLIPS:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return 1.0 - 2.0 * bits, True
    return 1.0 - 2.0 * rng.integers(2, size=(resamples, n)), False


def permutation_test(
    a: Scores,
    b: Scores,
    *,
    seed: int = 0,
    resamples: int = 10_000,
    alternative: Alternative = "two-sided",
) -> float:
    """Return the p value of mean(a - b) under flips of the signs of the differences.

    Exact (all 2^n flips) for n <= 12, else seeded Monte Carlo. `greater` asks whether a exceeds b. The
    smallest two-sided p value of n pairs is 2^(1-n): 0.0625 for five seeds.
    """
    d = _differences(a, b)
    rng = np.random.default_rng(seed)
    step, hits, flips = max(1, _CHUNK // len(d)), 0, 0
    slack = 1e-12 * float(np.abs(d).sum())  # ties are ties whatever the order of summation
    total = 2 ** len(d) if len(d) <= EXACT_FLIPS else resamples
    exact = len(d) <= EXACT_FLIPS
    while flips < total:
        signs, exact = _flips(len(d), rng, min(step, total - flips))
        hits += int(_as_extreme(signs @ d, float(d.sum()), alternative, slack).sum())
        flips += len(signs)
    return hits / flips if exact else (1 + hits) / (1 + flips)


def _as_extreme(
    sums: Float[np.ndarray, "R"], seen: float, alternative: Alternative, slack: float
) -> Shaped[np.ndarray, "R"]:
    if alternative == "greater":
        return sums >= seen - slack
    if alternative == "less":
        return sums <= seen + slack
    return np.abs(sums) >= abs(seen) - slack


def sign_test(a: Scores, b: Scores, *, alternative: Alternative = "two-sided") -> float:
    """Return the exact binomial p value of the number of pairs with a > b; ties are dropped (all ties: 1)."""
    d = _differences(a, b)
    wins, losses = int((d > 0).sum()), int((d < 0).sum())
    if wins + losses == 0:
        return 1.0
    return float(stats.binomtest(wins, wins + losses, 0.5, alternative=alternative).pvalue)


def holm(p_values: Scores) -> Float[np.ndarray, "N"]:
    """Return Holm's adjusted p values, in the order given; [] for none. Values outside [0, 1] are refused."""
    p = np.asarray(p_values, dtype=np.float64)
    if p.size == 0:
        return p
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p_values: expected numbers between 0 and 1, found {p.tolist()}")
    order = np.argsort(p, kind="stable")
    steps = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted
