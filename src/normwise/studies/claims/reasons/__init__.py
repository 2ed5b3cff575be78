"""Claims: why BN works, and at what price."""
