"""Copy of a model with other weights in some layers, and without some of its BN layers."""

import copy
from collections.abc import Mapping
from typing import Any

import keras

from normwise.errors import ModelError
from normwise.keras.surgery.fold.algebra import Weights
from normwise.keras.surgery.fold.graph import is_followed
from normwise.keras.untyped import ops


class _Left:
    """Remainder of a folded BN layer: nothing, or its residual and activation."""

    def __init__(self, layer: Any) -> None:
        self.name = layer.name
        self.activation = getattr(layer, "activation", None)
        self.dtype = layer.dtype_policy

    def layers(self) -> list[Any]:
        """Return the layers that stay in a sequential model."""
        if self.activation is None:
            return []
        return [keras.layers.Activation(self.activation, name=self.name, dtype=self.dtype)]

    def __call__(self, inputs: Any, *, residual: Any = None, **_: Any) -> Any:
        """Return the value after the remainder, in a functional model."""
        if residual is not None:
            name = self.name if self.activation is None else f"{self.name}_add"
            inputs = keras.layers.Add(name=name, dtype=self.dtype)([inputs, residual])
        for layer in self.layers():
            inputs = layer(inputs)
        return inputs


class CopiedModel:
    """Copy of a model, with copies of all its layers.

    Args:
        model: Functional or sequential model.
        folded: Remainders of BN layers that are left out, by ``id``.
        weights: New weights of layers, by ``id``.
    """

    def __init__(self, model: Any, folded: Mapping[int, Any], weights: Mapping[int, Weights]) -> None:
        self._folded, self._weights = folded, weights
        self._copies: dict[int, tuple[Any, Any]] = {}
        self.model = self._followed(model)
        for layer, new in self._copies.values():
            if (
                isinstance(layer, keras.layers.Layer)
                and not is_followed(layer)
                and not isinstance(new, _Left)
            ):
                self._fill(layer, new)

    def _followed(self, model: Any) -> Any:
        if isinstance(model, keras.Sequential):
            return self._sequential(model)
        # A compiled model would be compiled again, with losses that may not be serialisable.
        compiled, model.compiled = model.compiled, False
        try:
            new = keras.models.clone_model(model, clone_function=self._copied, call_function=_called)
        finally:
            model.compiled = compiled
        if not model.trainable:
            new.trainable = False
        return new

    def _sequential(self, model: Any) -> Any:
        given = model._functional.inputs[0]
        new: list[Any] = [keras.Input(batch_shape=given.shape, dtype=given.dtype, name=model._layers[0].name)]
        for layer in model.layers:
            one = self._copied(layer)
            new += one.layers() if isinstance(one, _Left) else [one]
        return keras.Sequential(new, name=model.name, trainable=model.trainable)

    def _copied(self, layer: Any) -> Any:
        if id(layer) not in self._copies:
            self._copies[id(layer)] = (layer, self._copy(layer))
        return self._copies[id(layer)][1]

    def _copy(self, layer: Any) -> Any:
        if id(layer) in self._folded:
            return _Left(layer)
        if is_followed(layer):
            return self._followed(layer)
        config = layer.get_config()
        if id(layer) in self._weights and self._weights[id(layer)]["bias"].any():
            config["use_bias"] = True
        try:
            return type(layer).from_config(config)
        except Exception:  # a Lambda, or a layer that needs its own arguments
            try:
                return copy.deepcopy(layer)
            except Exception as error:
                raise ModelError(
                    f"{type(layer).__name__} {layer.name!r} can't be copied: {error}. Give it get_config and "
                    "from_config; nothing is changed"
                ) from error

    def _fill(self, layer: Any, new: Any) -> None:
        """Give a copy the weights of the layer, or its new ones."""
        if id(layer) in self._weights:
            for name, value in self._weights[id(layer)].items():
                if getattr(new, name) is not None:
                    getattr(new, name).assign(value)
            return
        before, after = layer.variables, new.variables
        if [tuple(weight.shape) for weight in before] != [tuple(weight.shape) for weight in after]:
            raise ModelError(
                f"a copy of {type(layer).__name__} {layer.name!r} by from_config has other weights than the layer; "
                "nothing is changed"
            )
        for old_weight, new_weight in zip(before, after, strict=True):
            # A copy: JAX reuses the memory of the variables that it trains.
            new_weight.assign(ops.convert_to_numpy(old_weight.value))


def _called(layer: Any, *args: Any, **kwargs: Any) -> Any:
    return layer(*args, **kwargs)
