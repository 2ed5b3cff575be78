"""Insertion of BN into a model that has none."""
