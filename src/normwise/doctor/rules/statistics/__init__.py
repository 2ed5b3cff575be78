"""Rules BN2xx: running statistics."""
