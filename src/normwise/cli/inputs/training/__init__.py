"""Options and requests of ``normwise train``."""
