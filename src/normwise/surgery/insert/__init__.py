"""BN into a model that has none."""
