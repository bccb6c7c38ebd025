"""Learnings from federated learning in the real world (Dupuy et al. 2022): selection by activity.

Beside the rooms that every paper has:

- `checks.py`: what our own code must do, each as one distance, for the page and the tests
- `rates.py`: how each arm's learning rate is chosen, the same rule for all
- `sweeps.py`: curves over knobs, apart from the comparisons that findings are about
- `trials.py`: the trials behind the rates, written by `bench/federated_rates.py`
"""
