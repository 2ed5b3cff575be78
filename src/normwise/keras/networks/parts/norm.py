"""Normalization layers that a network can be built with, by name."""

from collections.abc import Callable
from typing import Any, Literal

import keras

from normwise.errors import ModelError
from normwise.keras.batch_normalization import BatchNormalization

#: Function that makes the layer of a name.
NormFactory = Callable[[str], keras.layers.Layer]
NormChoice = str | NormFactory
#: Position of the normalization, before or after the activation.
Placement = Literal["before", "after"]

NORMS = ("batch", "ghost", "renorm", "none", "layer")
#: Norm within the recurrent layers, not between them.
WITHIN = "recurrent_layer"
SEQUENCE_NORMS = (*NORMS, WITHIN)


def norm_factory(norm: NormChoice, momentum: float = 0.99) -> NormFactory:
    """Return the factory of a name, or the given factory.

    Args:
        norm: Name of the norm, one of :data:`NORMS`; "ghost:8" has virtual batches of 8 samples instead of 32,
            "renorm:400" is for a run of 400 steps: an eighth of them have no correction, and the limits are reached
            at half of them.
        momentum: Weight of the old average in the moving statistics.

    Raises:
        ModelError: there is no such name.
    """
    if callable(norm):
        return norm
    name, colon, number = norm.partition(":")
    if colon and not (number.isascii() and number.isdigit() and int(number) > 0):
        name = ""
    if name == "batch" and not colon:
        return lambda path: BatchNormalization(momentum=momentum, name=path)
    if name == "ghost":
        samples = int(number or 32)
        return lambda path: BatchNormalization(momentum=momentum, virtual_batch_size=samples, name=path)
    if name == "renorm":
        limits = None if not colon else _limits(int(number))
        return lambda path: BatchNormalization(
            momentum=momentum, renorm=True, renorm_clipping=limits, name=path
        )
    if norm == "none":
        return lambda path: keras.layers.Identity(name=path)
    if norm == "layer":
        return lambda path: keras.layers.LayerNormalization(name=path)
    raise ModelError(
        f"unknown norm {norm!r}; networks in Keras can have {', '.join(NORMS)}, ghost:SAMPLES and renorm:STEPS"
    )


def image_norm(norm: NormChoice, path: str) -> keras.layers.Layer:
    """Return the norm of ``(N, H, W, C)``; "layer" is over channels and positions of one sample."""
    if norm == "layer":
        return keras.layers.GroupNormalization(groups=1, name=path)
    return norm_factory(norm)(path)


def check_sequence_norm(network: str, norm: NormChoice) -> None:
    """Raise ModelError unless a network with recurrent layers can have the norm."""
    if not callable(norm) and norm.partition(":")[0] not in SEQUENCE_NORMS:
        raise ModelError(
            f"{network} can't have the norm {norm!r}; in Keras it can have {', '.join(SEQUENCE_NORMS)}"
        )


def norm_between_layers(norm: NormChoice, path: str) -> keras.layers.Layer:
    """Return the norm of ``(N, L, C)`` or ``(N, C)`` after a recurrent layer; Keras passes it the mask."""
    return norm_factory("none" if norm == WITHIN else norm)(path)


def _limits(steps: int) -> dict[str, Any]:
    return {"warmup_steps": steps // 8, "rmax_steps": max(steps // 2, 1), "dmax_steps": max(steps // 2, 1)}
