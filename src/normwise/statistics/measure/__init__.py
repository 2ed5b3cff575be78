"""Measurement of the inputs of a model's norm layers, which leaves the model unchanged."""
