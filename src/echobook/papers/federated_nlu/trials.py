"""Validation accuracy of each trial, as `bench/federated_rates.py` wrote it: world, arm, rate."""

# fmt: off
TRIALS: dict[str, dict[str, dict[float, float]]] = {
}
