"""How often four kinds of interval cover the truth, by simulation: the table of the page about intervals.

    python bench/interval_coverage.py [RUNS]

Writes `data/kernels/intervals.csv`. Each row is one way of scoring, one design, one number of seeds and one
kind of interval; RUNS (3,000) simulated experiments each, a tenth of that for the bootstraps, the same ones
for all kinds. About six minutes of one core; every design has its own seed, so the file is the same
each time.

Columns: `low_misses`, the share of runs whose interval lies wholly above the truth (a test whose bound is
the truth *holds* by mistake); `high_misses`, wholly below (a test whose smallest effect is the truth
*fails* by mistake); `width`, mean over runs in units of the true standard error of the estimate (normal
scores) or of the scores.
"""

import csv
import math
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy import stats

from echobook.metrics.intervals import crossed_components, nested_components
from echobook.metrics.statistics import hierarchical_bootstrap, resampled_sums

TARGET = Path(__file__).resolve().parents[1] / "data" / "kernels" / "intervals.csv"
SOURCES = ((0.02, 0.016), (0.02, 0.004), (0.004, 0.02), (0.0, 0.016))  # seed spread, item error
SEEDS = (3, 5, 10, 20)
UNITS, RESAMPLES = 50, 500
SETTING = ["scores", "design", "shared", "spread", "item_error", "units"]
FOUND = ["seeds", "interval", "runs", "low_misses", "high_misses", "width"]
Tables = list[np.ndarray]
Draw = Callable[[np.random.Generator, int], Tables]
Ends = dict[str, tuple[float, float]]  # by kind of interval
Kind = Callable[[str, Tables, np.random.Generator], Ends]


def mean(sums: np.ndarray) -> np.ndarray:
    """Mean of columns of sums and counts."""
    return sums[:, 0] / sums[:, 1]


def tables_of(scores: np.ndarray) -> Tables:
    """Columns w s and w of each seed, with weights 1."""
    return [np.stack([row, np.ones_like(row)], axis=1) for row in scores]


def normal(spread: float, item_error: float, shared: float) -> Draw:
    """Normal seeds and items; `shared` is the part of the items' variance that all seeds have in common."""

    def draw(rng: np.random.Generator, seeds: int) -> Tables:
        scale = math.sqrt(UNITS) * item_error
        common = math.sqrt(shared) * rng.normal(size=UNITS)
        own = math.sqrt(1 - shared) * rng.normal(size=(seeds, UNITS))
        return tables_of(spread * rng.normal(size=(seeds, 1)) + scale * (common + own))

    return draw


def exponential(units: int) -> Draw:
    """Skew items that all seeds share, centred on 0, with a seed spread of half their standard error."""

    def draw(rng: np.random.Generator, seeds: int) -> Tables:
        items = rng.exponential(size=units) - 1
        return tables_of(items + 0.5 / math.sqrt(units) * rng.normal(size=(seeds, 1)))

    return draw


def accuracy(units: int) -> Draw:
    """Right answers, 97 in 100, less .97; a few hard items are hard for every seed."""

    def draw(rng: np.random.Generator, seeds: int) -> Tables:
        chance = rng.beta(1.94, 0.06, size=units)
        return tables_of((rng.random((seeds, units)) < chance) - 0.97)

    return draw


def by_components(design: str, tables: Tables, rng: np.random.Generator) -> Ends:
    """The intervals of this project, and Student's t with the same variance and Satterthwaite's degrees.

    Satterthwaite's degrees of freedom as Hillis (2007) uses them.
    """
    parts = (crossed_components if design == "crossed" else nested_components)(tables, mean).confidence()
    variance = parts.between + parts.shared
    free = parts.between**2 / parts.seed_degrees + parts.shared**2 / parts.item_degrees
    degrees = variance**2 / free if free > 0 else math.inf
    half = stats.t.ppf(0.975, degrees) * math.sqrt(variance)
    ours = parts.interval(0.95)
    return {
        "this book": (ours.low, ours.high),
        "t, Satterthwaite": (parts.estimate - half, parts.estimate + half),
    }


def by_percentiles(design: str, tables: Tables, rng: np.random.Generator) -> Ends:
    """Percentiles of bootstraps of seeds and items."""
    nested = nested_percentiles(tables, rng)
    crossed = {"percentiles, items shared": crossed_percentiles(tables, rng)} if design == "crossed" else {}
    return {**crossed, "percentiles, items within seeds": nested}


def crossed_percentiles(tables: Tables, rng: np.random.Generator) -> tuple[float, float]:
    """Percentiles of a bootstrap that draws items once for all seeds, and seeds."""
    sums = resampled_sums(np.concatenate(tables, axis=1), rng=rng, resamples=RESAMPLES)
    values = sums[:, 0::2] / sums[:, 1::2]
    picked = rng.integers(len(tables), size=values.shape)
    low, high = np.quantile(np.take_along_axis(values, picked, axis=1).mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def nested_percentiles(tables: Tables, rng: np.random.Generator) -> tuple[float, float]:
    """Percentiles of a bootstrap that draws seeds, and items anew within each."""
    scores = [table[:, 0] for table in tables]
    found = hierarchical_bootstrap(scores, seed=int(rng.integers(2**31)), resamples=RESAMPLES)
    return found.low, found.high


def designs() -> Iterator[tuple[dict[str, str | float], Draw, Callable[[int], float]]]:
    """Description of each design, its generator, and the unit of its widths for a number of seeds."""
    for spread, error in SOURCES:
        for design, shared in (("crossed", 1.0), ("crossed", 0.5), ("nested", 0.0)):
            labels = dict(zip(SETTING[:5], ("normal", design, shared, spread, error), strict=True))

            def unit(seeds: int, s: float = spread, e: float = error, c: float = shared) -> float:
                return math.sqrt((s**2 + (1 - c) * e**2) / seeds + c * e**2)

            yield {**labels, "units": UNITS}, normal(spread, error, shared), unit
    for units in (10, 50, 200):
        labels = {"scores": "exponential", "design": "crossed", "units": units}
        yield labels, exponential(units), lambda seeds: 1.0
    for units in (100, 400):
        yield (
            {"scores": "97 % right", "design": "crossed", "units": units},
            accuracy(units),
            lambda seeds: 1.0,
        )


def rows(labels: dict, draw: Draw, seeds: int, kind: Kind, runs: int, unit: float) -> Iterator[dict]:
    """Simulate the rows of one design and number of seeds."""
    rng, other = np.random.default_rng(zlib.crc32(repr((labels, seeds)).encode())).spawn(2)
    ends = []
    for _ in range(runs):
        tables = draw(rng, seeds)
        if any(np.ptp(table[:, 0]) > 0 for table in tables):  # a run without an error has no width at all
            ends.append(kind(labels["design"], tables, other))
    for name in ends[0]:
        low, high = np.array([one[name] for one in ends]).T
        found = (np.mean(low > 0), np.mean(high < 0), np.mean(high - low) / unit)
        rounded = [round(float(value), 4) for value in found]
        yield {**labels, **dict(zip(FOUND, [seeds, name, len(ends), *rounded], strict=True))}


def main(runs: int) -> None:
    """Write the table, row by row."""
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    with TARGET.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*SETTING, *FOUND], restval="", lineterminator="\n")
        writer.writeheader()
        for labels, draw, unit in designs():
            for seeds in SEEDS:
                for kind, share in ((by_components, runs), (by_percentiles, runs // 10)):
                    writer.writerows(rows(labels, draw, seeds, kind, share, unit(seeds)))
                    file.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3_000)
