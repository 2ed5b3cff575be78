"""Rules BN6xx: parameters and the optimiser."""
