"""Federated learning simulated in one process: devices, their selection, local training, aggregation."""
