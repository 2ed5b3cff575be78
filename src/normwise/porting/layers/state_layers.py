"""Layers of a torch state dict, of which only names and tensors are known."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from normwise.errors import ModelError
from normwise.porting.layers.layer import NEUTRAL, Layer
from normwise.porting.layers.torch_arrays import COUNTER, RECURRENT, Array, Arrays, arrays_of, tensors_of
from normwise.porting.layers.torch_layers import BEHIND_BATCH

_RECURRENT = re.compile(
    r"(?:(.*)\.)?((?:weight|bias)_(?:ih|hh)|bias|norm_(?:ih|hh|c))_l(\d+)(_reverse)?(\.weight|\.bias)?"
)


@dataclass(eq=False)
class StateLayer:
    """Tensors under one name of a state dict; a :class:`normwise.porting.layers.layer.Layer`."""

    path: str
    tensors: dict[str, Tensor]
    class_name: str = "state dict"
    kind: str | None = None
    module: Any = None
    axis: int = -1
    #: ε of the saved layer, which the state dict does not hold; None if not given.
    eps: float | None = None

    @staticmethod
    def axis_of(kind: str) -> int:
        """Return the axis of the channels in the outputs of a layer of a kind."""
        return 1 if kind in BEHIND_BATCH else -1

    def arrays(self, kind: str) -> Arrays:
        """See :class:`normwise.porting.layers.layer.Layer`."""
        return arrays_of(kind, self.tensors)

    def write(self, kind: str, arrays: Mapping[str, Array]) -> None:
        """Raise an error: a state dict can only be a source."""
        raise ModelError("a state dict can't be a target")

    def keep(self) -> Callable[[], None]:
        """Raise an error: a state dict can only be a source."""
        raise ModelError("a state dict can't be a target")

    def settings(self) -> dict[str, Any]:
        """Return ε if given: a state dict has no settings."""
        return {} if self.eps is None else {"eps": self.eps}

    def configure(self, settings: Mapping[str, Any]) -> list[str]:
        """Raise an error: a state dict can only be a source."""
        raise ModelError("a state dict can't be a target")


def state_layers(state: Mapping[str, Any]) -> list[StateLayer]:
    """Return the layers of a state dict in the order of its keys."""
    layers: dict[tuple[str, str], StateLayer] = {}
    numbers: dict[str, set[str]] = {}
    for key, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise ModelError(
                f"the state dict has {key!r} of type {type(tensor).__name__}; expected tensors alone"
            )
        path, _, name = key.rpartition(".")
        number = ""
        if found := _RECURRENT.fullmatch(key):
            path, number = found[1] or "", found[3]
            name = f"{found[2]}{found[5] or ''}{found[4] or ''}"
            numbers.setdefault(path, set()).add(number)
        layers.setdefault((path, number), StateLayer(path, {})).tensors[name] = tensor
    for (path, number), layer in layers.items():
        if len(numbers.get(path, ())) > 1:
            layer.path = f"{path}.l{number}"
    return list(layers.values())


def state_path(path: str) -> str:
    """Return the path of a Keras layer in torch's form."""
    return re.sub(r"[/.]+", ".", path)


def state_dict_of(layers: Sequence[Layer]) -> dict[str, Tensor]:
    """Return the weights of layers under the names of torch's modules.

    Batch normalization with γ or β gets both, and a counter of batches.
    """
    state: dict[str, Tensor] = {}
    for layer in layers:
        kind = layer.kind or ""
        arrays = layer.arrays(kind)
        if kind == "batch_norm":
            neutral = NEUTRAL[kind]
            if arrays.keys() & neutral.keys():
                like = arrays["running_mean"]
                arrays = {
                    name: (0 * like + value).astype(like.dtype) for name, value in neutral.items()
                } | arrays
            arrays.setdefault(COUNTER, torch.zeros((), dtype=torch.int64).numpy())
        path = state_path(layer.path)
        for name, value in tensors_of(kind, arrays).items():
            if kind in RECURRENT:
                base, dot, rest = name.removesuffix("_reverse").partition(".")
                name = f"{base}_l0{'_reverse' if name.endswith('_reverse') else ''}{dot}{rest}"
            state[f"{path}.{name}"] = torch.as_tensor(value).contiguous()
    return state
