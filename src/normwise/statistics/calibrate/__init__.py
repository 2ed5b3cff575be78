"""Exact running statistics from data."""
