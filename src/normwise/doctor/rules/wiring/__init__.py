"""Rules BN1xx: how layers are wired."""
