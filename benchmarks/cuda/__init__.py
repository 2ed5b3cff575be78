"""Checks and figures of batch normalization on a GPU; see ``benchmarks/gpu.py``."""
