"""Layers with weights of both frameworks, in torch's names and layouts."""
