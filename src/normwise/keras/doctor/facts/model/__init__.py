"""The model: its layers, their numbers, and their wiring."""
