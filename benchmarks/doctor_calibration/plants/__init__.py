"""Faults that are planted into healthy models: a file a family of rules."""
