"""Adapters of all families, and the choice between them."""

from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from normwise.layers.foreign.adapter import Adapter
from normwise.layers.foreign.detectron2 import DETECTRON2
from normwise.layers.foreign.detr import DETR
from normwise.layers.foreign.maskrcnn_benchmark import MASKRCNN_BENCHMARK
from normwise.layers.foreign.named import NAMED
from normwise.layers.foreign.timm import TIMM, TIMM_FROZEN, TIMM_SYNCHRONISED
from normwise.layers.foreign.torchvision import TORCHVISION

#: The last one recognises layers of any library only by their names.
ADAPTERS = (
    TIMM,
    TIMM_SYNCHRONISED,
    TIMM_FROZEN,
    TORCHVISION,
    DETECTRON2,
    MASKRCNN_BENCHMARK,
    DETR,
    NAMED,
)


#: Cache of the matching adapters by class: needed for each call of a layer, and the same for all instances.
_KNOW_CLASS: WeakKeyDictionary[type[Any], tuple[Adapter, ...]] = WeakKeyDictionary()


def adapter_of(module: nn.Module) -> Adapter | None:
    """Return the adapter for a module; None if it belongs to no known family."""
    kind = type(module)
    if (known := _KNOW_CLASS.get(kind)) is None:
        known = _KNOW_CLASS[kind] = tuple(adapter for adapter in ADAPTERS if adapter.knows_class(kind))
    return next((adapter for adapter in known if adapter.has_structure(module)), None)
