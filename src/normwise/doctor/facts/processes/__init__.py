"""Facts about several processes, and their exchange."""
