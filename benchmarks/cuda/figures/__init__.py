"""Figures: operators and whole training steps, and the table of those to reach."""
