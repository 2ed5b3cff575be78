"""Exact moving statistics from data."""
