"""BN5xx: batches."""
