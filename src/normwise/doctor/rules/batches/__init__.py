"""Rules BN5xx: batches, and how they reach the layers."""
