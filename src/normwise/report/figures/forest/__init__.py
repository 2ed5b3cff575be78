"""The forest plot: every claim on one axis, in units of the smallest effect that matters."""
