"""Observation of the tensors that the layers of a model normalise."""
