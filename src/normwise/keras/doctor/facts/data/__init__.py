"""The batches of the data."""
