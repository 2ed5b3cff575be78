"""Student's distribution."""

from normwise.extras import needs_extra


def quantile(degrees: int, probability: float) -> float:
    """Return the value that a variable with so many degrees of freedom stays below with a probability."""
    with needs_extra("study", "judging a claim"):
        from scipy.special import stdtrit
    return float(stdtrit(degrees, probability))


def probability_below(degrees: int, value: float) -> float:
    """Return the probability that a variable with so many degrees of freedom stays below a value."""
    with needs_extra("study", "judging a claim"):
        from scipy.special import stdtr
    return float(stdtr(degrees, value))
