"""Reports of surgery."""
