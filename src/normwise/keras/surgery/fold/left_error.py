"""Obstacles to folding."""


class LeftError(Exception):
    """Reason why a BN layer is left unchanged."""


class NoCandidateError(LeftError):
    """Reason why there is no layer with weights on one side of a BN layer."""
