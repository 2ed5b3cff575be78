"""Figures as static SVG with direct labels: readable without a script, in print and at the width of a phone."""
