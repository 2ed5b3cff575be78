"""A forward pass in training mode that measures the inputs of BN layers."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from normwise.errors import ModelError
from normwise.keras.masks import real_positions
from normwise.keras.surgery.arrays import as_array, channels_second, double
from normwise.keras.surgery.calibrate.one_pass import TRACED, WITHOUT_VALUES, arguments_of_call
from normwise.keras.surgery.error_text import error_text
from normwise.keras.surgery.observing import observing
from normwise.keras.watch.layer_summary import layer_summary
from normwise.records import LayerPoint


def recorded_pass(
    model: Any, layers: Mapping[str, Any], channels: Mapping[str, tuple[int, ...]], x: Any
) -> tuple[dict[str, LayerPoint], dict[str, str]]:
    """Call the model on a batch in training mode; the caller restores the variables and random states.

    Args:
        model: Model to call.
        layers: Layers that are measured, by path.
        channels: Channels of each layer whose percentiles are computed.
        x: Input of the model.

    Returns:
        The summaries of the layers by path, in the order of their first calls; and the reasons why a call was not
        seen, by path.

    Raises:
        ModelError: the model fails on the batch.
    """
    points: dict[str, LayerPoint] = {}
    unseen: dict[str, str] = {}

    def look(path: str, layer: Any, args: Any, kwargs: Any) -> None:
        if path in points:
            points[path] = replace(points[path], calls=points[path].calls + 1)
            return
        inputs, training, mask = arguments_of_call(*args, **kwargs)
        axis = layer.axis % len(inputs.shape)
        if axis == 0:
            unseen[path] = "its channels are the first axis, that of the samples"
            return
        try:
            values = as_array(inputs)
            real = None if mask is None else real_positions(double(mask), values.shape, axis, path)
        except WITHOUT_VALUES:  # a warning says so
            unseen[path] = TRACED
            return
        except ValueError as error:  # of the mask
            unseen[path] = str(error)
            return
        by_batch = bool(training) and layer.trainable and not getattr(layer, "frozen_statistics", False)
        real = None if real is None else real.reshape(len(values), -1)
        point = layer_summary(layer, channels_second(values, axis), real, channels[path], by_batch=by_batch)
        if point is not None:
            points[path] = point

    with observing(layers, look):
        try:
            model(x, training=True)
        except Exception as error:  # of the user's code
            raise ModelError(
                f"the model fails on a batch of the data of WatchCallback: {type(error).__name__}: "
                f"{error_text(error)}; pass inputs as fit takes them"
            ) from error
    return points, unseen
