"""Dev accuracy of each trial, as `bench/incremental_rates.py` wrote it: world, arm, rate."""

# fmt: off
TRIALS: dict[str, dict[str, dict[float, float]]] = {
    "hackernews": {"incremental": {0.003: 0.0}},
    "reddit": {"incremental": {0.003: 0.0}},
    "topics": {"incremental": {0.003: 0.0}},
}
