"""Student's t distribution, by its number of degrees of freedom."""

from normwise.extras import needs_extra


def quantile(degrees: int, probability: float) -> float:
    """Return the quantile of the distribution at a probability."""
    with needs_extra("study", "judging a claim"):
        from scipy.special import stdtrit
    return float(stdtrit(degrees, probability))


def probability_below(degrees: int, value: float) -> float:
    """Return the cumulative probability of the distribution at a value."""
    with needs_extra("study", "judging a claim"):
        from scipy.special import stdtr
    return float(stdtr(degrees, value))
