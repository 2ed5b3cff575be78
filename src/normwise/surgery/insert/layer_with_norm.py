"""A layer and its norm as one module, in the layer's place in a model."""

from collections.abc import Mapping
from typing import Any

from torch import nn


class LayerWithNorm(nn.Sequential):
    """Module for ``norm(layer(x))``, which replaces a layer.

    Other attributes, such as ``weight`` or ``out_channels``, are forwarded to the layer. Parameters have ``layer``
    and ``norm`` in their names; an old ``state_dict``, with the layer's shorter names, can be loaded, too (with
    ``strict=False``, since it has no norm).
    """

    def __getattr__(self, name: str) -> Any:
        """Return the layer's attribute, if the module itself has none of that name."""
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
