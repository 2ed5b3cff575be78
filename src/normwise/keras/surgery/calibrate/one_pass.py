"""One pass over data that measures the inputs of BN layers."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from normwise.call_order import CallOrder
from normwise.errors import ModelError
from normwise.keras.surgery.batch_norms import has_own_call
from normwise.keras.surgery.calibrate.batches import Batches
from normwise.keras.surgery.calibrate.layer_statistics import put
from normwise.keras.surgery.calibrate.moments import Accumulator, Moments
from normwise.keras.surgery.error_text import error_text
from normwise.keras.surgery.observing import observing

TRACED = "it is called in traced code, such as that of tf.function, jax.jit or a scan, which shows no values"
#: What the backends raise for a tensor without values in traced code: JAX a TypeError, TensorFlow NotImplementedError
#: or AttributeError, torch a RuntimeError.
WITHOUT_VALUES = (TypeError, NotImplementedError, RuntimeError, AttributeError)
BY_BATCH = "it normalises by the batch in evaluation, too"


class _EndOfForwardPass(BaseException):
    """Signal that ends a forward pass early, after the measured layer.

    Attributes:
        fault: Error that ends the whole pass; None for none. If it were raised within the model, Keras would add
            its own text.
    """

    def __init__(self, fault: ModelError | None = None) -> None:
        super().__init__()
        self.fault = fault


@dataclass
class Measurement:
    """Measurements of one pass.

    Attributes:
        seen: Accumulator of each layer's inputs, by path.
        call_order: Order of the calls.
        reasons: Reason why a layer's inputs are unknown, by path.
        batches: Number of batches.
    """

    seen: dict[str, Accumulator]
    call_order: CallOrder = field(default_factory=CallOrder)
    reasons: dict[str, str] = field(default_factory=dict)
    batches: int = 0


def measure(
    model: Any,
    layers: Mapping[str, Any],
    batches: Batches,
    measured: Collection[str],
    *,
    by_batch: bool = False,
    ends_early: bool = False,
) -> Measurement:
    """Measure the inputs of the layers in one pass in inference mode.

    Args:
        model: Model to run.
        layers: All followed layers, by path.
        batches: Inputs of the model.
        measured: Paths of the measured layers.
        by_batch: Whether the measured layers normalise by the batch, which overwrites their statistics.
        ends_early: Whether a forward pass stops at the measured layer.

    Raises:
        ModelError: the model fails on a batch, or a layer's input is not finite.
    """
    channels = {path: layers[path].moving_mean.shape[0] for path in measured}
    found = Measurement({path: Accumulator.empty(channels[path]) for path in measured})

    def look(path: str, layer: Any, args: Any, kwargs: Any) -> None:
        x, training, mask = arguments_of_call(*args, **kwargs)
        if training and layer.trainable and not getattr(layer, "frozen_statistics", False):
            found.reasons[path] = BY_BATCH
            return
        found.call_order.add_call(path)
        if path not in found.seen:
            return
        try:
            batch = Moments.of(x, layer.axis % len(x.shape), mask)
        except WITHOUT_VALUES:  # the report says so
            found.reasons[path] = TRACED
            return
        if not math.isfinite(batch.m2.sum()):
            raise _EndOfForwardPass(_not_finite(batch, path, found.batches))
        seen = found.seen[path]
        seen.add(batch)
        if by_batch and batch.count:
            # One value has no variance.
            use = batch if batch.count > 1 else seen.together
            put(layer, use.mean, use.m2 / use.count)
        if ends_early:
            raise _EndOfForwardPass

    with observing(layers, look):
        for x in batches:
            found.call_order.begin()
            try:
                model(x, training=False)
            except _EndOfForwardPass as end:
                if end.fault is not None:
                    raise end.fault from None
            except Exception as error:
                said = f"{type(error).__name__}: {error_text(error)}"
                raise ModelError(
                    f"the model fails on batch {found.batches} (counted from 0): {said}"
                ) from error
            found.batches += 1
    return found


def arguments_of_call(
    inputs: Any, training: Any = None, mask: Any = None, residual: Any = None
) -> tuple[Any, Any, Any]:
    """Return input, mode and mask of a call of a BN layer."""
    return inputs, training, mask


def reason_to_leave(layer: Any, include_frozen: bool) -> str:
    """Return why a layer is not measured; empty if it is."""
    if has_own_call(layer) or "call" in vars(layer):
        return f"{type(layer).__name__} has a call of its own, so that it is not known what it normalises"
    if not layer.built:
        return "it has no statistics yet, since it was never called"
    if not include_frozen and (not layer.trainable or getattr(layer, "frozen_statistics", False)):
        return "it is frozen (include_frozen=True calibrates it, too)"
    return ""


def _not_finite(batch: Moments, path: str, number: int) -> ModelError:
    channel = int(np.flatnonzero(~np.isfinite(batch.m2))[0])
    return ModelError(
        f"batch {number} (counted from 0) gives channel {channel} of {path!r} values that are not finite, and its "
        "statistics would not be either. Find out where they come from, or leave that batch out"
    )
