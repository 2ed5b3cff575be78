"""What is known of a model that is examined."""
