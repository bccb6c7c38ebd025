"""Learnings from federated learning in the real world (Dupuy et al. 2022): selection by activity."""
