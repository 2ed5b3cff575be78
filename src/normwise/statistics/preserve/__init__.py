"""The state of models and of random numbers, put back after use."""
