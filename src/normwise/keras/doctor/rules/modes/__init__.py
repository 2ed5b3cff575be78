"""BN3xx: training and evaluation."""
