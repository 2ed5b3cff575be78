"""Facts from forward and backward passes."""
