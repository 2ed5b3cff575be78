"""A training run on disk: its files, and who may write to them."""
