"""Rules BN3xx: training and evaluation."""
