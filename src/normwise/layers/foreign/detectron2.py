"""detectron2's ``FrozenBatchNorm2d``, whose ε is an attribute."""

from normwise.layers.foreign.adapter import Adapter
from normwise.nn.norm_traits import NormTraits

DETECTRON2 = Adapter("detectron2", ("FrozenBatchNorm2d",), NormTraits("frozen", (2,)))
