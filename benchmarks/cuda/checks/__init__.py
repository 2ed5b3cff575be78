"""Checks of the values, and of what a GPU program expects beside them."""
