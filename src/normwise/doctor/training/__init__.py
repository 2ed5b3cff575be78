"""Checks of BN layers during training."""
