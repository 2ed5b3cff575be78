"""Accuracy under conditions that differ from training."""
