"""timm's norms with an activation within them: ``BatchNormAct2d`` and what it becomes synchronised or frozen.

All of timm's EfficientNet, MobileNetV3, RegNet, DenseNet, DPN, Inception, CSPNet, VoVNet, RepVGG and MobileOne have
them. ``drop`` and ``act`` are modules, and identities where there is nothing to do. The synchronised class is the only
one for any number of axes.
"""

from normwise.layers.foreign.adapter import Adapter
from normwise.nn.norm_traits import NormTraits

_FOLLOWERS = ("drop", "act")
TIMM = Adapter("timm", ("BatchNormAct2d",), NormTraits("batch", (2,)), _FOLLOWERS)
TIMM_SYNCHRONISED = Adapter("timm", ("SyncBatchNormAct",), NormTraits("batch", (1, 2, 3)), _FOLLOWERS)
TIMM_FROZEN = Adapter("timm", ("FrozenBatchNormAct2d",), NormTraits("frozen", (2,)), _FOLLOWERS)
