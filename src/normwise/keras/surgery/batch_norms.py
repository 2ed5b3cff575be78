"""Batch normalization layers of a Keras model, with their paths."""

from typing import Any

import keras

from normwise.errors import ArgumentError
from normwise.keras.batch_normalization import BatchNormalization


def check_model(model: Any) -> None:
    """Check that an operation can work on a model.

    Raises:
        ArgumentError: the argument is not a model or layer of Keras, or has no weights yet.
    """
    if not isinstance(model, keras.layers.Layer):
        raise ArgumentError(f"expected a model of Keras, got {type(model).__name__}; the data come second")
    if not model.built:
        raise ArgumentError(
            f"the model {model.name!r} has no weights yet; call it on a batch once, or give it a keras.Input"
        )


def batch_norms(model: Any) -> dict[str, Any]:
    """Return the BN layers of a model, including those of nested models and layers, by path.

    A path is the names from the model down to the layer, separated by ``/``. A layer with several paths has the
    first one.
    """
    return {path: layer for path, layer in layers_of(model).items() if is_batch_norm(layer)}


def layers_of(model: Any) -> dict[str, Any]:
    """Return all layers of a model, the model included, by path; that of the model is empty."""
    found: dict[str, Any] = {"": model}
    seen = {id(model)}

    def walk(layer: Any, prefix: str) -> None:
        for child in layer._layers:
            if id(child) in seen:
                continue
            seen.add(id(child))
            path = _free(prefix + child.name, found)
            found[path] = child
            walk(child, f"{path}/")

    walk(model, "")
    return found


def is_batch_norm(layer: Any) -> bool:
    """Return whether a layer is Keras's batch normalization, ours, or a subclass of them."""
    return isinstance(layer, keras.layers.BatchNormalization)


def has_own_call(layer: Any) -> bool:
    """Return whether a BN layer is a subclass whose ``call`` or moments may be anything."""
    known = BatchNormalization if isinstance(layer, BatchNormalization) else keras.layers.BatchNormalization
    return any(getattr(type(layer), name, None) is not getattr(known, name, None) for name in _COMPUTES)


#: Members that a subclass may override to change the computation.
_COMPUTES = ("call", "__call__", "_moments")


def _free(path: str, taken: dict[str, Any]) -> str:
    """Return the path, with a number if sibling layers have the same name."""
    number, free = 1, path
    while free in taken:
        free, number = f"{path}_{number}", number + 1
    return free
