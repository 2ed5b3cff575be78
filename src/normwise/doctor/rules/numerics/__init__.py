"""Rules BN4xx: numbers and their types."""
