"""Gradients of a layer and through layers."""
