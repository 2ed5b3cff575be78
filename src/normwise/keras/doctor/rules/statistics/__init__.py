"""BN2xx: statistics."""
