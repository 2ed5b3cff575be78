"""Deviations from exact identities."""
