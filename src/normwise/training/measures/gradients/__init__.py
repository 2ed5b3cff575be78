"""Gradients of layers and through layers."""
