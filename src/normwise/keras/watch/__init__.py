"""Statistics of BN layers during ``fit``."""
