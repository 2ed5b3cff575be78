"""Rules BN7xx: models that leave training."""
