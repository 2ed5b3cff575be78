"""Both models evaluated on one example, and compared."""
