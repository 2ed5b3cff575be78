"""A layer and a norm behind it, in the one place that a model has for the layer."""

from collections.abc import Mapping
from typing import Any

from torch import nn


class LayerWithNorm(nn.Sequential):
    """``norm(layer(x))``, where a module's forward calls what was the layer alone.

    What else is asked of it, such as ``weight`` or ``out_channels``, the layer answers. Its parameters have ``layer``
    and ``norm`` in their names; a ``state_dict`` of before, in which the layer's names are shorter, can be loaded, too
    (with ``strict=False``, since it has no norm).
    """

    def __getattr__(self, name: str) -> Any:
        """The layer's, where neither the module itself nor Python has it."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            layer = self.__dict__.get("_modules", {}).get("layer")
            if layer is None or name.startswith("__"):
                raise
            return getattr(layer, name)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        own = tuple(f"{prefix}{name}." for name in self._modules)
        for key in [key for key in state_dict if key.startswith(prefix) and not key.startswith(own)]:
            state_dict[f"{prefix}layer.{key.removeprefix(prefix)}"] = state_dict.pop(key)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
