"""Mixins that are put before a layer's own class."""
