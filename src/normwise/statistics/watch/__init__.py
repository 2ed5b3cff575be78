"""Statistics of BN layers during training."""
