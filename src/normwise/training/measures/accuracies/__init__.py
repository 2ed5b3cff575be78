"""Accuracy under other conditions than those of the training."""
