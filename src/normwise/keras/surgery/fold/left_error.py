"""Obstacles to folding."""


class LeftError(Exception):
    """The reason why a BN layer is left as it is."""


class NoCandidateError(LeftError):
    """The reason why no layer of weights is on one side of a BN layer."""
