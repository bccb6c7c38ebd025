"""Mean validation NDCG@20 of each trial, as `bench/ckgat_rates.py` wrote it: world, model, setting."""

# fmt: off
TRIALS: dict[str, dict[str, dict[tuple[float, float], float]]] = {
}
