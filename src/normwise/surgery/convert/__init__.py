"""Norm layers into others."""
