"""timm's norms with an activation: ``BatchNormAct2d`` and its synchronised and frozen forms.

All of timm's EfficientNet, MobileNetV3, RegNet, DenseNet, DPN, Inception, CSPNet, VoVNet, RepVGG and MobileOne have
them. ``drop`` and ``act`` are modules, identities if there is nothing to do. Only the synchronised class takes any
number of axes.
"""

from normwise.layers.foreign.adapter import Adapter
from normwise.nn.norm_traits import NormTraits

_FOLLOWERS = ("drop", "act")
TIMM = Adapter("timm", ("BatchNormAct2d",), NormTraits("batch", (2,)), _FOLLOWERS)
TIMM_SYNCHRONISED = Adapter("timm", ("SyncBatchNormAct",), NormTraits("batch", (1, 2, 3)), _FOLLOWERS)
TIMM_FROZEN = Adapter("timm", ("FrozenBatchNormAct2d",), NormTraits("frozen", (2,)), _FOLLOWERS)
