"""Layers with weights of both frameworks, by torch's names and layouts."""
