"""Activations: their moments and percentiles."""
