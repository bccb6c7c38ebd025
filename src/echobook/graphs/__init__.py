"""Kernels for learning on graphs: messages along edges, attention, sampled pairs, full rankings."""
