"""Observation of the calls of BN layers in a Keras model, optionally with other statistics."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from normwise.keras.doctor.facts.model.norm_facts import Channels, NormFacts
from normwise.keras.masks import real_positions
from normwise.keras.surgery.arrays import channels_second
from normwise.keras.untyped import ops


@dataclass(frozen=True, eq=False)
class NormCall:
    """One call of a BN layer.

    Attributes:
        path: Path of the layer.
        values: Values that it normalises, ``(N, C, L)``; for one value per sample L is 1.
        real: Real positions by its mask, ``(N, L)``; None for all.
        dtype: Dtype of the values.
        shape: Shape of the layer's input.
        training: Whether the layer was called in training mode.
    """

    path: str
    values: NDArray[Any]
    real: NDArray[Any] | None
    dtype: str
    shape: tuple[int, ...]
    training: bool


#: Mean and biased variance to normalise a call by; None for the moving statistics.
Statistics = tuple[Channels, Channels] | None
Visit = Callable[[NormCall], Statistics]


@contextmanager
def observed(norms: Mapping[str, NormFacts], visit: Visit, unseen: dict[str, str]) -> Iterator[None]:
    """Call ``visit`` at each call of the layers; they normalise by its result, and update no statistics.

    A layer within a loop that the backend compiles runs as usual; ``unseen`` then gets the reason, by path.
    """
    built = [norm for norm in norms.values() if norm.mean is not None]
    try:
        for norm in built:
            # Set on the instance past Layer.__setattr__, which would track or refuse it; Operation.__call__
            # finds it first.
            vars(norm.layer)["call"] = _watching(norm, norm.layer.call, visit, unseen)
        yield
    finally:
        for norm in built:
            vars(norm.layer).pop("call", None)


def _watching(
    norm: NormFacts, original: Callable[..., Any], visit: Visit, unseen: dict[str, str]
) -> Callable[..., Any]:
    path, layer = norm.path, norm.layer
    signature = inspect.signature(original)

    def call(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        inputs, mask = given.arguments["inputs"], given.arguments.get("mask")
        training = bool(given.arguments.get("training")) and norm.trainable
        try:
            kind = keras.backend.standardize_dtype(inputs.dtype)
            values = np.asarray(ops.convert_to_numpy(ops.cast(inputs, "float32")))
            real = None if mask is None else np.asarray(ops.convert_to_numpy(mask)).astype(bool)
        except Exception:  # a tensor without values, for which each backend raises its own exception
            unseen[path] = "it is called within a loop that the backend compiles"
            return original(*args, **kwargs)
        axis = layer.axis % values.ndim
        if axis == 0:
            unseen[path] = "its channels are the first axis, that of the samples"
            return original(*args, **kwargs)
        try:
            real = None if real is None else real_positions(real, values.shape, axis, path)
        except ValueError as error:
            unseen[path] = str(error)
            return original(*args, **kwargs)
        wanted = visit(
            NormCall(
                path,
                channels_second(values, axis),
                None if real is None else real.reshape(len(values), -1),
                kind,
                tuple(values.shape),
                training,
            )
        )
        given.arguments["training"] = False
        if wanted is None:
            return original(*given.args, **given.kwargs)
        with _statistics_of(layer, wanted):
            return original(*given.args, **given.kwargs)

    return call


@contextmanager
def _statistics_of(layer: Any, statistics: tuple[Channels, Channels]) -> Iterator[None]:
    variables = (layer.moving_mean, layer.moving_variance)
    held = [ops.copy(variable) for variable in variables]
    try:
        for variable, value in zip(variables, statistics, strict=True):
            with np.errstate(over="ignore"):  # a variance may overflow the dtype, and is then infinite
                single = value.astype("float32")
            variable.assign(single)
        yield
    finally:
        for variable, value in zip(variables, held, strict=True):
            variable.assign(value)
