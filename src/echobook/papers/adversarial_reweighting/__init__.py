"""Adversarial reweighting for speaker verification fairness (Jin et al. 2022): APS, PL and PW.

Beside the rooms that every paper has:

- `checks.py`: what our own code must do, each as one distance, for the page and the tests
- `groups.py`: error rates by group with what each speaker contributes to them, for intervals over speakers
"""
