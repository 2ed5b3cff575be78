"""The works that several claims cite."""

from normwise.records import Source


def ioffe_szegedy(section: str) -> Source:
    """A section of the paper that introduced batch normalization."""
    return Source(
        "Ioffe & Szegedy 2015, Batch Normalization: Accelerating Deep Network Training by Reducing "
        "Internal Covariate Shift",
        section,
        "https://arxiv.org/abs/1502.03167",
    )
