"""Statistics of BN layers while a model trains."""
