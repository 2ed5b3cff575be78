"""Checks of BN layers while a model trains."""
