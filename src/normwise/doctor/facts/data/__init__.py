"""Facts about the batches of the user."""
