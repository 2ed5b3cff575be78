"""A training run on disk: its files, and the lock on its folder."""
