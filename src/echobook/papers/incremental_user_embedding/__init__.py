"""Incremental user embedding: one state a user, into which each block of interactions is merged.

Rooms: `model.py` (the method), `serving.py` (the same, one interaction at a time), `baselines.py`,
`material.py`, `training.py`, `rates.py` and `trials.py` (tuning), `evaluation.py`, `experiment.py`,
`costs.py` (time and memory against the length of the history), `checks.py`, `own_data.py`.
"""
