"""Claims about deep networks."""
