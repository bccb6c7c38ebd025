"""Incremental user embedding: one state a user, into which each block of interactions is merged.

Modules besides the usual rooms:

- `serving.py`: the method in service, one interaction at a time.
- `costs.py`: time, arithmetic and memory against the length of the history.
- `checks.py`: properties of the code that the chapter measures.
- `rates.py`: the rule by which learning rates are chosen.
- `trials.py`: what the tuning found.
"""
