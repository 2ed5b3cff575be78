"""Measurements and a model of synchronised batch normalization."""
