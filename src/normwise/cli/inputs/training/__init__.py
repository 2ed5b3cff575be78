"""What ``normwise train`` is asked for."""
