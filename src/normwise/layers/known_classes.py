"""Classes of norm layers with known traits: torch's, and those of this package, which declare them."""

from typing import Any

from torch import nn

from normwise import nn as own
from normwise.nn import recurrent
from normwise.nn.norm_traits import NormTraits

_PER_SAMPLE = "it normalises each sample by itself, and has no running statistics"
#: Traits of torch's classes. ``SyncBatchNorm`` takes any number of axes, and is not a conversion target.
TORCH: dict[type[Any], NormTraits] = {
    nn.BatchNorm1d: NormTraits("batch", (1,), "torch"),
    nn.BatchNorm2d: NormTraits("batch", (2,), "torch"),
    nn.BatchNorm3d: NormTraits("batch", (3,), "torch"),
    nn.SyncBatchNorm: NormTraits("batch", (1, 2, 3), synchronised=True),
    nn.InstanceNorm1d: NormTraits("instance", (1,), foldable=False, reason=_PER_SAMPLE),
    nn.InstanceNorm2d: NormTraits("instance", (2,), foldable=False, reason=_PER_SAMPLE),
    nn.InstanceNorm3d: NormTraits("instance", (3,), foldable=False, reason=_PER_SAMPLE),
    nn.GroupNorm: NormTraits("group", foldable=False, reason=_PER_SAMPLE),
    nn.LayerNorm: NormTraits("layer", foldable=False, convertible=False, reason=_PER_SAMPLE),
    nn.RMSNorm: NormTraits("rms", foldable=False, convertible=False, reason=_PER_SAMPLE),
    nn.LocalResponseNorm: NormTraits("response", foldable=False, convertible=False, reason=_PER_SAMPLE),
    nn.CrossMapLRN2d: NormTraits("response", foldable=False, convertible=False, reason=_PER_SAMPLE),
}
#: Layers that mix channels by weights, and modules that contain such layers.
WEIGHTED = (
    nn.modules.conv._ConvNd,
    nn.Linear,
    nn.Bilinear,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.MultiheadAttention,
)


def declared_traits(kind: type[Any]) -> NormTraits | None:
    """Return the traits that a class of this package declares itself; None if it only inherits them."""
    traits = vars(kind).get("traits")
    return traits if isinstance(traits, NormTraits) else None


def known_class(kind: type[Any]) -> tuple[type[Any], NormTraits] | None:
    """Return the class with known traits that ``kind`` is or inherits from, and the traits."""
    for above in kind.__mro__:
        if (traits := TORCH.get(above) or declared_traits(above)) is not None:
            return above, traits
    return None


def conversion_families(family: str = "batch") -> dict[str, dict[type[Any], tuple[int, ...]]]:
    """Return the classes of a family that are targets of a conversion, and their dimensions, by the target's name.

    They are torch's and the public classes of ``normwise.nn``.
    """
    found: dict[str, dict[type[Any], tuple[int, ...]]] = {}
    for kind in (*TORCH, *public_classes()):
        traits = TORCH.get(kind) or declared_traits(kind)
        if traits is not None and traits.conversion is not None and traits.family == family:
            found.setdefault(traits.conversion, {})[kind] = traits.dimensions
    return found


def public_classes() -> list[type[Any]]:
    """Return the public classes of ``normwise.nn`` and of its package of recurrent layers."""
    public = (vars(own) | vars(recurrent)).items()
    return [value for name, value in public if not name.startswith("_") and isinstance(value, type)]
