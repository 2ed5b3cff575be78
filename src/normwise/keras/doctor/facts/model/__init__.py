"""The model: its layers, their numbers, and what goes from which to which."""
