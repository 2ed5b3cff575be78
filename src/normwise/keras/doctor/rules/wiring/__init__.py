"""BN1xx: wiring."""
