"""Deviations from what holds exactly."""
