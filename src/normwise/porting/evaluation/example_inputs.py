"""An example in the layouts of both frameworks: channels after the batch in torch, usually last in Keras."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from torch import Tensor

from normwise.errors import ArgumentError
from normwise.porting.layers.keras_layers import KerasLayer
from normwise.porting.layers.torch_arrays import Array, to_numpy
from normwise.porting.layers.torch_layers import BEHIND_BATCH, TorchLayer

_BATCH, _UNKNOWN = 4, 16


@dataclass(frozen=True)
class ExampleInputs:
    """Inputs of both models.

    Attributes:
        torch: Positional arguments of the torch model.
        keras: Inputs of the Keras model.
        moved: Whether the channels of the first input are on different axes in both.
    """

    torch: tuple[Any, ...]
    keras: tuple[Any, ...]
    moved: bool


def example_inputs(
    example: Any,
    other: Any,
    *,
    from_torch: bool,
    torch_layers: Sequence[TorchLayer],
    keras_layers: Sequence[KerasLayer],
    keras_model: Any,
    scale: float = 1.0,
) -> ExampleInputs:
    """Return the example for both models.

    Args:
        example: Example in the layout of the source; None for random numbers of the Keras model's input shape.
        other: Example in the layout of the target; None to make it from ``example``.
        from_torch: Whether the source is the torch model.
        torch_layers, keras_layers: Layers of the models, in the order in which they register them.
        keras_model: Keras model of the two.
        scale: Standard deviation of the random numbers.

    Raises:
        ArgumentError: there is no example and none can be generated, or it is empty or not finite.
    """
    shapes = _shapes(keras_model)
    if example is None:
        given, from_torch, other = _drawn(shapes, keras_layers, scale), False, None
    else:
        given = _arrays(example)
    # Layers with a channel axis show where Keras has it.
    first = next((layer.axis for layer in keras_layers if layer.kind in BEHIND_BATCH), -1)
    usual = first != 1 and next((layer.axis == 1 for layer in torch_layers), True)
    moves = [
        _moves(one, shapes, number, from_torch, usual or (one.ndim > 3 and first != 1))
        for number, one in enumerate(given)
    ]
    if other is not None:
        converted = _arrays(other)
    else:
        there, back = (1, -1) if from_torch else (-1, 1)
        converted = tuple(
            np.ascontiguousarray(np.moveaxis(one, there, back)) if move else one
            for one, move in zip(given, moves, strict=True)
        )
    moved = moves[0]
    if other is not None and given[0].ndim > 2:
        moved = given[0].shape != converted[0].shape
    return ExampleInputs(*((given, converted) if from_torch else (converted, given)), moved)


def _arrays(example: Any) -> tuple[Any, ...]:
    whole = tuple(example) if isinstance(example, (tuple, list)) else (example,)
    arrays = tuple(_array(one) for one in whole)
    first = arrays[0] if arrays else np.zeros(0)
    if not first.size or (first.dtype.kind == "f" and not np.isfinite(first).all()):
        state = "is empty" if not first.size else "has values that are not finite"
        raise ArgumentError(f"the example {state}, so that it proves nothing; pass a batch of real inputs")
    if first.size > 1 and first.min() == first.max():
        raise ArgumentError(
            f"the example is {first.ravel()[0]:g} everywhere, so that it proves nothing; pass a batch of real inputs"
        )
    return arrays


def _array(value: Any) -> Array:
    if isinstance(value, Tensor):
        return to_numpy(value)
    array = np.asarray(keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else value)
    if array.dtype.kind not in "biuf":
        raise ArgumentError(
            f"the example has a value of type {type(value).__name__}; expected a tensor or array, or a tuple of them, "
            "one for each argument"
        )
    return array


def _shapes(model: Any) -> list[tuple[int | None, ...]]:
    """Return the shapes of the Keras model's inputs; an empty list if it has none."""
    try:
        return [tuple(one.shape) for one in keras.tree.flatten(model.inputs or [])]
    except (AttributeError, ValueError):  # raised for a subclassed model, or one that has not been called
        return []


def _drawn(
    shapes: list[tuple[int | None, ...]], layers: Sequence[KerasLayer], scale: float
) -> tuple[Array, ...]:
    if not shapes:
        raise ArgumentError(
            "the Keras model does not say which inputs it takes, so that no example can be made up; pass example=, a "
            "batch of inputs of the source"
        )
    generator = np.random.default_rng(0)
    sizes = [(_BATCH, *(_UNKNOWN if size is None else size for size in shape[1:])) for shape in shapes]
    if layers and layers[0].kind == "embedding":
        entries = layers[0].module.input_dim
        return tuple(generator.integers(min(1, entries - 1), entries, size) for size in sizes)
    return tuple((scale * generator.standard_normal(size)).astype(np.float32) for size in sizes)


def _moves(
    given: Array,
    shapes: list[tuple[int | None, ...]],
    number: int,
    from_torch: bool,
    usual: bool,
) -> bool:
    """Return whether the channels of an input are at another axis in the other framework."""
    if given.ndim < 3:
        return False
    if not from_torch or number >= len(shapes):
        return usual
    shape = shapes[number]
    moved = np.moveaxis(given, 1, -1).shape
    kept, turned = (_fits(size, shape) for size in (given.shape, moved))
    return usual if kept == turned else turned


def _fits(given: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    return len(given) == len(shape) and all(
        want is None or have == want for have, want in zip(given, shape, strict=True)
    )
