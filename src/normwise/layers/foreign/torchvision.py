"""torchvision's ``FrozenBatchNorm2d``, whose ε is an attribute (it had none before version 0.7, and 0 then)."""

from normwise.layers.foreign.adapter import Adapter
from normwise.nn.norm_traits import NormTraits

TORCHVISION = Adapter("torchvision", ("FrozenBatchNorm2d",), NormTraits("frozen", (2,)), eps=(0.0, 1e-5))
