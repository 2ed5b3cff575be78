"""Layers with weights of a Keras model."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from normwise.errors import ModelError
from normwise.porting.layers.keras_weights import kind_of_layer, parts_of, value_of, weights_of
from normwise.porting.layers.torch_arrays import RECURRENT, Array, Arrays

#: Further weights of renormalization, and of our layer's plain average.
_RENORM = ("moving_stddev", "renorm_mean", "renorm_stddev")


@dataclass(eq=False)
class KerasLayer:
    """A layer, or one of two in a separable convolution; a :class:`normwise.porting.layers.layer.Layer`.

    Attributes:
        part: ``"depthwise"`` or ``"pointwise"``; empty for a whole layer.
        order: Index in torch of each feature of its inputs, if a Flatten arranged them differently; otherwise None.
    """

    path: str
    kind: str | None
    module: Any
    axis: int
    part: str = ""
    order: Array | None = None

    @property
    def class_name(self) -> str:
        """Return the class of the layer."""
        return type(self.module).__name__

    @property
    def unbiased(self) -> bool:
        """Return whether its moving variance has Bessel's correction, as in torch."""
        return bool(getattr(self.module, "unbiased_moving_variance", False))

    @property
    def _owners(self) -> list[Any]:
        """Return the objects with its settings: the cells of a recurrent layer, else the layer itself."""
        if self.kind not in RECURRENT:
            return [self.module]
        if isinstance(self.module, keras.layers.Bidirectional):
            return [self.module.forward_layer.cell, self.module.backward_layer.cell]
        return [self.module.cell]

    def arrays(self, kind: str) -> Arrays:
        """See :class:`normwise.porting.layers.layer.Layer`."""
        found = weights_of(self.module, self.part, self.order)
        return {
            name: np.array(one.to_torch(value_of(one.variable)), order="C") for name, one in found.items()
        }

    def write(self, kind: str, arrays: Mapping[str, Array]) -> None:
        """See :class:`normwise.porting.layers.layer.Layer`."""
        for name, one in weights_of(self.module, self.part, self.order).items():
            if name in arrays:
                one.variable.assign(np.array(one.to_keras(arrays[name]), order="C"))
        if getattr(self.module, "renorm", False):
            # Renormalization starts from the layer's current statistics, as with r = 1 and d = 0.
            mean, variance = value_of(self.module.moving_mean), value_of(self.module.moving_variance)
            deviation = np.sqrt(variance + self.module.epsilon)
            for name, value in zip(_RENORM, (deviation, mean, deviation), strict=True):
                getattr(self.module, name).assign(value)

    def keep(self) -> Callable[[], None]:
        """See :class:`normwise.porting.layers.layer.Layer`."""
        before = [(variable, value_of(variable)) for variable in self.module.weights]
        settings = [
            (owner, name, getattr(owner, name))
            for owner in self._owners
            for name in ("epsilon", "momentum")
            if hasattr(owner, name)
        ]

        def restore() -> None:
            for variable, value in before:
                variable.assign(value)
            for owner, name, value in settings:
                setattr(owner, name, value)

        return restore

    def settings(self) -> dict[str, Any]:
        """See :class:`normwise.porting.layers.layer.Layer`."""
        layer = self.module
        if self.kind in ("conv", "conv_transpose"):
            axes = len(layer.kernel_size)
            if self.part == "pointwise":
                return {"stride": (1,) * axes, "dilation": (1,) * axes}
            return {"stride": _each(layer.strides, axes), "dilation": _each(layer.dilation_rate, axes)}
        if self.kind == "batch_norm":
            momentum = layer.momentum
            return {"eps": layer.epsilon, "momentum": None if momentum is None else opposite(momentum)}
        if self.kind == "group_norm":
            return {"eps": layer.epsilon, "groups": layer.groups}
        return {"eps": self._owners[0].epsilon} if self.kind in ("layer_norm", "layer_norm_lstm") else {}

    def configure(self, settings: Mapping[str, Any]) -> list[str]:
        """See :class:`normwise.porting.layers.layer.Layer`."""
        if "eps" in settings:
            for owner in self._owners:
                owner.epsilon = settings["eps"]
        if "momentum" not in settings:
            return []
        momentum = settings["momentum"]
        if momentum is None and getattr(self.module, "batches", None) is None:
            return [
                f"{self.path!r} keeps its momentum of {self.module.momentum:g}: the source has momentum=None, a plain "
                "average, for which normwise.keras.BatchNormalization(momentum=None) is needed"
            ]
        self.module.momentum = None if momentum is None else opposite(momentum)
        return []


def keras_layers(model: Any) -> list[KerasLayer]:
    """Return the layers with weights of a model, in the order in which it registers them.

    Raises:
        ModelError: a layer with weights is unknown, or has not been built.
    """
    layers: list[KerasLayer] = []
    unknown: list[str] = []
    for path, layer in _leaves(model):
        kind = "conv" if parts_of(layer) != ("",) else kind_of_layer(layer)
        if kind is not None:
            if not layer.built:
                raise ModelError(
                    f"{path!r} ({type(layer).__name__}) has no weights yet; build the Keras model, or call it on "
                    "a batch"
                )
            for part in parts_of(layer):
                own = f"{path}/{part}" if part else path
                layers.append(KerasLayer(own, kind, layer, _axis(layer, kind), part))
        elif layer.weights:
            unknown.append(f"{path!r} ({type(layer).__name__})")
    if unknown:
        raise ModelError(
            f"the Keras model has weights that have no known counterpart in torch: {', '.join(unknown)}; known are "
            "Dense, convolutions, batch, layer and group normalization, Embedding, LSTM and GRU"
        )
    return layers


def opposite(momentum: float) -> float:
    """Return one minus a momentum, as in the other framework, without rounding in the last digits."""
    return float(f"{1 - momentum:.12g}")


def inner_layers(layer: Any) -> list[Any]:
    """Return the direct sublayers of a layer or model."""
    return list(layer._flatten_layers(include_self=False, recursive=False))


def _leaves(model: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the known layers and those without sublayers, each once."""
    seen: set[int] = set()

    def walk(layer: Any, path: str) -> Iterator[tuple[str, Any]]:
        if id(layer) in seen:
            return
        seen.add(id(layer))
        within = inner_layers(layer)
        if not within or kind_of_layer(layer) is not None or parts_of(layer) != ("",):
            yield path, layer
            return
        own = {id(variable) for one in within for variable in one.weights}
        if any(id(variable) not in own for variable in layer.weights):
            raise ModelError(
                f"{path or 'the Keras model'!r} ({type(layer).__name__}) has weights of its own beside its layers, "
                "which have no known counterpart in torch"
            )
        for one in within:
            yield from walk(one, f"{path}/{one.name}" if path else one.name)

    if kind_of_layer(model) is not None:
        yield model.name, model
    else:
        yield from walk(model, path)


def _axis(layer: Any, kind: str) -> int:
    if kind in ("conv", "conv_transpose"):
        return -1 if layer.data_format == "channels_last" else 1
    if kind in ("batch_norm", "group_norm"):
        return layer.axis
    return -1


def _each(value: Any, axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else tuple(value)
