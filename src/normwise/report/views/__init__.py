"""Records as rows and figures, one module for each kind of record."""
