"""Contexts that restore the state of models and of random numbers."""
