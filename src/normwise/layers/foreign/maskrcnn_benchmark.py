"""maskrcnn-benchmark's ``FrozenBatchNorm2d``, which adds no ε; forks add 1e-5, without an attribute for it."""

from normwise.layers.foreign.adapter import Adapter
from normwise.nn.norm_traits import NormTraits

MASKRCNN_BENCHMARK = Adapter(
    "maskrcnn_benchmark", ("FrozenBatchNorm2d",), NormTraits("frozen", (2,)), eps=(0.0, 1e-5)
)
