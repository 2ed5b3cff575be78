"""Figures as drawings and as tables."""
