"""The networks of the tutorials and papers, each with a choice of normalization."""

from normwise.models.build import MODELS, build
from normwise.models.norm import NORMS, Norm, NormFactory

__all__ = ["MODELS", "NORMS", "Norm", "NormFactory", "build"]
