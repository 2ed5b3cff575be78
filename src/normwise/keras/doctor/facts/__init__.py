"""Facts about a model that is examined."""
