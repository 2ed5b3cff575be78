"""Evaluation of a Keras model on an example, with a record of each layer's call."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from normwise.errors import ModelError
from normwise.keras.surgery.error_text import error_text
from normwise.porting.evaluation.call_record import CallRecord, ModelRecord
from normwise.porting.layers.keras_layers import KerasLayer, inner_layers
from normwise.porting.layers.torch_arrays import RECURRENT, Array

_NORMS = ("batch_norm", "layer_norm")
_ACTIVATED = ("linear", "conv", "conv_transpose", "batch_norm")


@dataclass(frozen=True, eq=False)
class Flattened:
    """Effect of a Flatten before a layer.

    Attributes:
        shape: Shape of its input, without the batch.
        channels_first: Whether it moves the channels from the first axis to the last one.
        behind: Layer with weights that made its input; None if that is the input of the model.
    """

    shape: tuple[int, ...]
    channels_first: bool
    behind: KerasLayer | None


@dataclass(eq=False)
class KerasRun:
    """Evaluation of a Keras model.

    Attributes:
        record: Record of each layer's call.
        flattened: Flatten before a layer, by the ``id`` of the layer.
    """

    record: ModelRecord = field(default_factory=ModelRecord)
    flattened: dict[int, Flattened] = field(default_factory=dict)


def run_keras(model: Any, layers: Sequence[KerasLayer], inputs: Sequence[Any]) -> KerasRun:
    """Evaluate a model, and leave it unchanged, including the states of stateful layers.

    Raises:
        ModelError: the model fails.
    """
    run = _Recorder(layers)
    before = [(variable, np.array(keras.ops.convert_to_numpy(variable))) for variable in _states(model)]
    given = [keras.ops.convert_to_tensor(one) if isinstance(one, np.ndarray) else one for one in inputs]
    takes_training = "training" in inspect.signature(model.call).parameters or isinstance(model, keras.Model)
    try:
        with run.recording(model):
            outputs = model(
                given[0] if len(given) == 1 else given, **({"training": False} if takes_training else {})
            )
    except Exception as error:
        raise ModelError(f"the Keras model fails on the example: {error_text(error)}") from error
    finally:
        for variable, value in before:
            variable.assign(value)
    run.run.record.outputs = [_numpy(leaf) for leaf in keras.tree.flatten(outputs)]
    return run.run


def _states(model: Any) -> list[Any]:
    """Return the variables that an evaluation may write: states of recurrent layers and of random generators."""
    trained = {id(weight) for weight in model.trainable_variables}
    stateful = [layer for layer in _all_layers(model) if getattr(layer, "stateful", False)]
    # Keras does not include these in the variables.
    states = keras.tree.flatten(
        [layer.states for layer in stateful if getattr(layer, "states", None) is not None]
    )
    return [*(variable for variable in model.variables if id(variable) not in trained), *states]


class _Recorder:
    """Recorder of the calls of layers, in the order in which they end."""

    def __init__(self, layers: Sequence[KerasLayer]) -> None:
        self.run = KerasRun()
        self._layers: dict[int, list[KerasLayer]] = {}
        for layer in layers:
            self._layers.setdefault(id(layer.module), []).append(layer)
        #: Tensors whose features a Flatten arranged, kept alive so that ids are unique.
        self._arranged: dict[int, tuple[Any, Flattened]] = {}
        self._makers: list[tuple[int, KerasLayer]] = []
        self._masks: dict[tuple[int, ...], Array] = {}
        self._before: dict[int, Array] = {}

    @contextmanager
    def recording(self, model: Any) -> Iterator[None]:
        """Wrap the call of each layer, and of each activation."""
        with ExitStack() as stack:
            for layer in _all_layers(model):
                stack.enter_context(_replaced(layer, "call", self._noting(layer, layer.call)))
                activation = getattr(layer, "activation", None)
                known = self._layers.get(id(layer))
                if (
                    known
                    and known[-1].kind in _ACTIVATED
                    and activation not in (None, keras.activations.linear)
                ):
                    stack.enter_context(
                        _replaced(layer, "activation", self._before_activation(layer, activation))
                    )
            yield

    def _before_activation(self, layer: Any, activation: Any) -> Callable[[Any], Any]:
        def activated(x: Any) -> Any:
            self._before.setdefault(id(layer), _numpy(x))
            return activation(x)

        return activated

    def _noting(self, layer: Any, call: Any) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            outputs = call(*args, **kwargs)
            given = keras.tree.flatten((args, kwargs))
            if given and keras.ops.is_tensor(given[0]):
                self._note(layer, given[0], outputs, kwargs.get("mask"))
            return outputs

        return noted

    def _note(self, layer: Any, x: Any, outputs: Any, mask: Any) -> None:
        known = self._layers.get(id(layer), [])
        whole = keras.tree.flatten(outputs)
        y = whole[0] if whole else None
        if y is None or not hasattr(y, "shape"):
            return
        arranged = self._arranged.get(id(x))
        if isinstance(layer, (keras.layers.Flatten, keras.layers.Reshape)) and len(y.shape) == 2 < len(
            x.shape
        ):
            first = getattr(layer, "data_format", None) == "channels_first"
            rank = len(x.shape)
            maker = next((one for axes, one in reversed(self._makers) if axes == rank), None)
            self._arranged[id(y)] = (y, Flattened(tuple(x.shape[1:]), first, maker))
        elif arranged and len(y.shape) == 2 and (known or not layer.weights):
            for one in known:
                self.run.flattened.setdefault(id(one), arranged[1])
            # An elementwise layer keeps the arrangement of features.
            if (not known or known[0].kind in _NORMS) and tuple(y.shape) == tuple(x.shape):
                self._arranged[id(y)] = (y, arranged[1])
        if mask is not None and keras.ops.is_tensor(mask) and len(mask.shape) == 2:
            self._masks[tuple(mask.shape)] = _numpy(mask).astype(bool)
        for one in known:
            self._makers.append((len(y.shape), one))
            if id(one) not in self.run.record.calls:
                self.run.record.calls[id(one)] = self._call_record(one, x, y)

    def _call_record(self, layer: KerasLayer, x: Any, y: Any) -> CallRecord:
        real = self._masks.get(tuple(y.shape[:2])) if len(y.shape) == 3 else None
        given, output = _numpy(x), _numpy(y)
        given = _last_axis(given, layer.axis)
        if layer.kind in RECURRENT:
            real = self._masks.get(tuple(x.shape[:2]))
            if output.ndim == 2:
                return CallRecord(given, None, last=output, real=real)
            return CallRecord(given, output, real=real)
        if layer.part == "depthwise":  # the layer does not expose it
            return CallRecord(given, None)
        output = _last_axis(output, layer.axis)
        before = self._before.get(id(layer.module))
        if before is None:
            return CallRecord(given, output, real=real)
        return CallRecord(given, _last_axis(before, layer.axis), output, real=real)


def _all_layers(model: Any) -> list[Any]:
    """Return all layers within a model, without the model itself, unless it is a single layer."""
    within = list(model._flatten_layers(include_self=False, recursive=True))
    if not inner_layers(model) or not isinstance(model, keras.Model):
        within.append(model)
    return list({id(layer): layer for layer in within}.values())


@contextmanager
def _replaced(layer: Any, name: str, value: Any) -> Iterator[None]:
    """Set an attribute of an object without Keras's tracking, and remove it afterwards."""
    had, old = name in vars(layer), vars(layer).get(name)
    object.__setattr__(layer, name, value)
    try:
        yield
    finally:
        if had:
            object.__setattr__(layer, name, old)
        else:
            object.__delattr__(layer, name)


def _last_axis(value: Array, axis: int) -> Array:
    return value if value.ndim < 2 else np.moveaxis(value, axis, -1)


def _numpy(x: Any) -> Array:
    value = np.array(keras.ops.convert_to_numpy(x))
    return value.astype(np.float32) if "bfloat16" in value.dtype.name else value
