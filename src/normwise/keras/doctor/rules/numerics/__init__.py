"""BN4xx: numerics."""
