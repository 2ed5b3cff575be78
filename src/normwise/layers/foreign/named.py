"""Frozen BN of any library: a class with such a name, and with weight, bias and statistics as buffers."""

import re
from dataclasses import dataclass
from typing import Any

from torch import nn

from normwise.layers.foreign.adapter import Adapter
from normwise.nn.norm_traits import NormTraits


@dataclass(frozen=True)
class _Named(Adapter):
    def knows_class(self, kind: type[Any]) -> bool:
        """Return whether the class itself has such a name."""
        return self.is_class(kind)

    def is_class(self, kind: type[Any]) -> bool:
        """Return whether a class has such a name."""
        return "BatchNorm" in kind.__name__

    def traits_of(self, module: nn.Module) -> NormTraits:
        """Return the traits, with the dimensions from the name of the class."""
        named = re.search(r"([123])d", type(module).__name__)
        return NormTraits("frozen", (int(named[1]),) if named else ())


NAMED = _Named("", (), NormTraits("frozen"), eps=(1e-5, 0.0))
