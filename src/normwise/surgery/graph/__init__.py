"""Graphs of models: how values flow between modules."""
