"""A claim a file."""
