"""Comparisons of a changed model with the old one: same outputs, and how much faster."""
