"""The networks of the tutorials and papers, each with a choice of normalization."""

from normwise.models.build import MODELS, TASKS, build
from normwise.models.parts.norm import NORMS, NormChoice, NormFactory
from normwise.models.parts.sequence_norm import SEQUENCE_NORMS

__all__ = ["MODELS", "NORMS", "SEQUENCE_NORMS", "TASKS", "NormChoice", "NormFactory", "build"]
