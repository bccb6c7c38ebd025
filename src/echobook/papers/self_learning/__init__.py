"""Self-learning's rooms: method, training, baselines, material, evaluation, experiment, own_data.

- `guardrails.py`: what keeps a mined rewrite from doing harm, and the serving table; part of the method,
  which would pass 300 lines with them.
- `detours.py`: a log in which the chain's depth must matter, and a count of how often it does elsewhere.
"""
