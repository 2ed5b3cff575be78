"""DETR's ``FrozenBatchNorm2d``, and the copies of it in transformers, which add an ε of 1e-5 without an attribute."""

from dataclasses import dataclass
from typing import Any

from normwise.layers.foreign.adapter import Adapter
from normwise.nn.norm_traits import NormTraits

_NAME = "FrozenBatchNorm2d"


@dataclass(frozen=True)
class _Detr(Adapter):
    def is_class(self, kind: type[Any]) -> bool:
        """Return whether a module is DETR's ``models.backbone``, or one of transformers, named after its model."""
        package = kind.__module__.partition(".")[0]
        return (kind.__module__, kind.__name__) == ("models.backbone", _NAME) or (
            package == "transformers" and kind.__name__.endswith(_NAME)
        )


DETR = _Detr("", (_NAME,), NormTraits("frozen", (2,)))
