"""Conversion of norm layers to others."""
