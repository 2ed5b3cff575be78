"""Measurement of what the layers of a model normalise, which leaves the model as it is."""
