"""Passes over the data, and their measurements."""
