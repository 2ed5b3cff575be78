"""Labelled sequences of different lengths."""
