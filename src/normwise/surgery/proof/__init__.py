"""Comparisons of a changed model with the old one: equal outputs, and speed."""
