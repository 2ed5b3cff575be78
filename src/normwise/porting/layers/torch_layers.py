"""Layers with weights of a torch model."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from normwise.errors import ModelError
from normwise.layers import kind_of
from normwise.nn import LayerNormLSTM, SequenceBatchNorm
from normwise.porting.layers.layer import CONVERTED
from normwise.porting.layers.torch_arrays import RECURRENT, Array, Arrays, arrays_of, tensors_of

_CLASSES: dict[type[nn.Module], str] = {
    nn.Linear: "linear",
    nn.Conv1d: "conv",
    nn.Conv2d: "conv",
    nn.Conv3d: "conv",
    nn.ConvTranspose1d: "conv_transpose",
    nn.ConvTranspose2d: "conv_transpose",
    nn.ConvTranspose3d: "conv_transpose",
    nn.LayerNorm: "layer_norm",
    nn.GroupNorm: "group_norm",
    nn.Embedding: "embedding",
    nn.LSTM: "lstm",
    nn.GRU: "gru",
    LayerNormLSTM: "layer_norm_lstm",
}
#: Kinds of layers with an axis of channels, which in torch follows the batch.
BEHIND_BATCH = ("conv", "conv_transpose", "batch_norm", "group_norm")


@dataclass(eq=False)
class TorchLayer:
    """A module, or one layer of a recurrent module; a :class:`normwise.porting.layers.layer.Layer`.

    Attributes:
        number: Number of the recurrent layer within its module.
        tensors: Parameters and buffers, by torch's names without the number of a recurrent layer.
        caller: Module whose outputs are those of the layer: the module itself, or a module that calls it on other
            axes.
    """

    path: str
    kind: str | None
    module: Any
    tensors: dict[str, Tensor]
    axis: int
    number: int = 0
    caller: Any = None

    @property
    def class_name(self) -> str:
        """Return the class of the module."""
        return type(self.module).__name__

    @property
    def is_last(self) -> bool:
        """Return whether the module's outputs are those of this layer."""
        return self.number == getattr(self.module, "num_layers", 1) - 1

    def arrays(self, kind: str) -> Arrays:
        """See :class:`normwise.porting.layers.layer.Layer`."""
        return arrays_of(kind, self.tensors)

    def write(self, kind: str, arrays: Mapping[str, Array]) -> None:
        """See :class:`normwise.porting.layers.layer.Layer`."""
        with torch.no_grad():
            for name, value in tensors_of(kind, arrays).items():
                self.tensors[name].copy_(torch.as_tensor(value))

    def keep(self) -> Callable[[], None]:
        """See :class:`normwise.porting.layers.layer.Layer`."""
        before = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}
        settings = [
            (module, name, getattr(module, name))
            for module in (self.module, *self.module.children())
            for name in CONVERTED
            if hasattr(module, name)
        ]

        def restore() -> None:
            with torch.no_grad():
                for name, value in before.items():
                    self.tensors[name].copy_(value)
            for module, name, value in settings:
                setattr(module, name, value)

        return restore

    def settings(self) -> dict[str, Any]:
        """See :class:`normwise.porting.layers.layer.Layer`."""
        module = self.module
        if self.kind in ("conv", "conv_transpose"):
            return {"stride": tuple(module.stride), "dilation": tuple(module.dilation)}
        if self.kind == "batch_norm":
            found = kind_of(module)
            eps = module.eps if found is None else found.eps
            return {"eps": float(eps)} | (
                {"momentum": module.momentum} if hasattr(module, "momentum") else {}
            )
        if self.kind == "group_norm":
            return {"eps": module.eps, "groups": module.num_groups}
        return {"eps": module.eps} if self.kind in ("layer_norm", "layer_norm_lstm") else {}

    def configure(self, settings: Mapping[str, Any]) -> list[str]:
        """See :class:`normwise.porting.layers.layer.Layer`."""
        for name, value in settings.items():
            if hasattr(self.module, name):
                for module in (self.module, *self.module.children()):
                    setattr(module, name, value)
            elif name == "eps":
                return [f"{self.path!r} has no ε that could be set to {value:g}"]
        return []


def torch_layers(model: nn.Module) -> list[TorchLayer]:
    """Return the layers with weights of a model, in the order in which it registers them.

    Raises:
        ModelError: a module with weights is unknown, or has not been initialised.
    """
    layers: list[TorchLayer] = []
    unknown: list[str] = []
    callers = {id(m.norm): m for m in model.modules() if isinstance(m, SequenceBatchNorm)}
    within: set[int] = set()
    for path, module in model.named_modules():
        if id(module) in within:
            continue
        held = {
            name: tensor
            for name, tensor in (*module._parameters.items(), *module._buffers.items())
            if tensor is not None
        }
        if any(is_lazy(tensor) for tensor in held.values()):
            raise ModelError(
                f"{path!r} ({type(module).__name__}) has no shapes yet; call the model on a batch"
            )
        kind = _kind(module)
        if kind in RECURRENT:
            within.update(map(id, module.modules()))
            layers += _recurrent(path, kind, module)
        elif kind is not None:
            axis = 1 if kind in BEHIND_BATCH and id(module) not in callers else -1
            layers.append(TorchLayer(path, kind, module, held, axis, caller=callers.get(id(module), module)))
        elif any(name in module._parameters for name in held):
            unknown.append(f"{path!r} ({type(module).__name__})")
    if unknown:
        raise ModelError(
            f"the torch model has weights that have no known counterpart in Keras: {', '.join(unknown)}; known are "
            "Linear, convolutions, batch, layer and group normalization, Embedding, LSTM and GRU"
        )
    return layers


def _kind(module: nn.Module) -> str | None:
    norm = kind_of(module)
    if norm is not None and norm.family in ("batch", "frozen"):
        if not norm.has_statistics:
            raise ModelError(
                f"a {type(module).__name__} keeps no running statistics, which batch normalization in Keras always "
                "has: make them first, by normwise.convert(model, 'batch', track_running_stats=True, data=...)"
            )
        return "batch_norm"
    return next((kind for known, kind in _CLASSES.items() if isinstance(module, known)), None)


def _recurrent(path: str, kind: str, module: Any) -> list[TorchLayer]:
    """Return each layer of a module with several, named ``path`` or ``path.l0``, ``path.l1`` and so on."""
    if module.proj_size:
        raise ModelError(f"{path!r} ({type(module).__name__}) has proj_size, which Keras has not")
    layers = []
    for number in range(module.num_layers):
        # Inner norms have names such as norm_ih_l0_reverse.weight.
        end = re.compile(rf"_l{number}(_reverse)?(?=\.|$)(.*)")
        tensors = {
            end.sub(r"\2\1", name): tensor for name, tensor in module.named_parameters() if end.search(name)
        }
        own = path if module.num_layers == 1 else f"{path}.l{number}"
        layers.append(TorchLayer(own, kind, module, tensors, -1, number, module))
    return layers
