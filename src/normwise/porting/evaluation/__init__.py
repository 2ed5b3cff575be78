"""Evaluation of both models on one example, and their comparison."""
