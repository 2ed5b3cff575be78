"""BN into the convolution or dense layer beside it, proven equal on an example."""

import math
from collections.abc import Sequence
from typing import Any

from normwise.errors import ArgumentError, ModelError
from normwise.keras.surgery.batch_norms import batch_norms, check_model, is_batch_norm
from normwise.keras.surgery.calibrate.batches import input_of
from normwise.keras.surgery.fold.algebra import (
    Weights,
    into_inputs,
    into_outputs,
    scale_and_shift,
    weights_of,
)
from normwise.keras.surgery.fold.candidates import Candidates
from normwise.keras.surgery.fold.copy_model import CopiedModel
from normwise.keras.surgery.fold.graph import Call, Graph, graph_of
from normwise.keras.surgery.fold.left_error import LeftError, NoCandidateError
from normwise.keras.surgery.fold.obstacles import base_of
from normwise.keras.surgery.fold.proof import check_models, check_pair, inputs_of
from normwise.keras.surgery.process_state import unchanged
from normwise.records import Change, Folding


def fold(model: Any, example: Any, *, tolerance: float | None = None) -> tuple[Any, Folding]:
    r"""Return a copy of a model whose convolutions and dense layers do, in inference, what BN layers beside them did.

    .. math::

        s (W x + b) + t = (s W) x + (s b + t), \qquad W (s x + t) + b = (W s) x + (W t + b),
        \qquad s = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}, \; t = \beta - s \mu

    Where values flow from a ``Dense``, ``Conv1D`` to ``3D``, ``Conv1DTranspose`` to ``3DTranspose``,
    ``DepthwiseConv1D`` or ``2D``, or ``SeparableConv1D`` or ``2D`` into a BN layer and nowhere else, with no activation
    between, the first gets new weights and the second is left out, or leaves its activation and residual (those of
    :class:`normwise.keras.BatchNormalization`) in its place. Where there is no such layer before it, one behind it will
    do, if it does not pad with zeros, or the shift is zero. Dropout and other layers that do nothing in inference may
    be between. Nested models are followed; layers with a call of their own, and wrappers such as ``TimeDistributed``,
    are not, and BN layers in them are left.

    Each pair is proven before it is folded: the two layers and the new one are computed on what the first gets on the
    example and on random numbers, in float64 on TensorFlow, and in float32 on JAX and torch, where Keras computes in no
    more. A pair that does not agree, to 1e-9 of the largest output in float64 and 3.5e-4 in float32, is left with the
    reason. In the end the outputs of the models are compared on the example.

    Args:
        model: A functional or sequential model of Keras, with its layers, Keras's BN or ours. It is left as it is.
        example: One batch: the input, ``(x, y)``, a dictionary or list of several inputs.
        tolerance: Largest difference of the outputs, relative to the largest; by default half the digits of the
            type with the fewest that the model computes in, such as 3.5e-4 for float32.

    Returns:
        The copy, for inference and not compiled, with the names of the layers; and what became of each BN layer.

    Raises:
        ModelError: the model is a subclass with a call of its own, or fails on the example; a layer can't be copied; or
            the outputs differ by more than the tolerance.
        ArgumentError: a tolerance that is no positive number; a model that was not built.
    """
    check_model(model)
    if tolerance is not None and not tolerance > 0:
        raise ArgumentError(f"expected a positive number as tolerance, got {tolerance}")
    x = input_of(example, len(getattr(model, "inputs", None) or [None]))
    with unchanged(model):
        folding = _Folding(model, graph_of(model), x)
        changes = folding.fold_all()
        new = CopiedModel(model, folding.folded, folding.weights).model
        error, allowed = check_models(model, new, x, tolerance)
        if math.isnan(error) and any(change.changed for change in changes):
            raise ModelError(
                "the model's outputs on the example have NaN, with which nothing can be proven; nothing is changed. "
                "Pass another example, or find out where they come from by normwise.keras.diagnose"
            )
    return new, Folding(changes, error, allowed)


class _Folding:
    """Foldings of a model: which BN goes into which layer.

    Attributes:
        folded: BN layers that are, by ``id``.
        weights: New weights of the layers that take them over, by ``id``.
    """

    def __init__(self, model: Any, graph: Graph, x: Any) -> None:
        self.folded: dict[int, Any] = {}
        self.weights: dict[int, Weights] = {}
        self._model, self._graph = model, graph
        self._candidates = Candidates(model, graph)
        layers = [call.layer for call in graph.calls if graph.counts[id(call.layer)] == 1]
        self._inputs = inputs_of(model, [one for one in layers if is_batch_norm(one) or base_of(one)], x)

    def fold_all(self) -> tuple[Change, ...]:
        """Fold what can be folded, and return what became of each BN layer."""
        layers = batch_norms(self._model)
        details: dict[str, str] = {}
        obstacles: dict[str, list[LeftError]] = {path: [] for path in layers}
        calls: dict[str, Call] = {}
        for path, layer in layers.items():
            try:
                calls[path] = self._checked_call(path, layer)
            except LeftError as left:
                obstacles[path].append(left)
        order = {id(call): number for number, call in enumerate(self._graph.calls)}
        free = sorted(calls, key=lambda path: order[id(calls[path])])
        # As values flow, so that each of several behind a convolution finds it; then the other way round.
        for fold_one, paths in ((self._into_layer_before, free), (self._into_layer_after, free[::-1])):
            for path in paths:
                if path in details:
                    continue
                try:
                    details[path] = fold_one(calls[path])
                except LeftError as left:
                    obstacles[path].append(left)
        return tuple(
            Change(
                path,
                type(layer).__name__,
                path in details,
                details.get(path) or _reason(obstacles[path]),
            )
            for path, layer in layers.items()
        )

    def _checked_call(self, path: str, layer: Any) -> Call:
        call = self._graph.call_of(layer)
        if call is None:
            around = path.rpartition("/")[0]
            raise LeftError(
                f"it is within {around!r}, a layer whose call can't be followed"
                if around
                else "it is never called"
            )
        self._candidates.check(call)
        return call

    def _into_layer_before(self, call: Call) -> str:
        found = self._candidates.before(call)
        weights = self._weights_of(found.layer)
        new = into_outputs(found.layer, weights, *scale_and_shift(call.layer))
        pair = ((found.layer, weights), (call.layer, None))
        check_pair(pair, found.layer, new, self._inputs[id(found.layer)])
        return f"folded into {found.name} before it{self._fold(call, found, new)}"

    def _into_layer_after(self, call: Call) -> str:
        found = self._candidates.after(call)
        weights = self._weights_of(found.layer)
        new = into_inputs(found.layer, weights, *scale_and_shift(call.layer))
        pair = ((call.layer, None), (found.layer, weights))
        check_pair(pair, found.layer, new, self._inputs[id(call.layer)])
        return f"folded into {found.name} behind it{self._fold(call, found, new)}"

    def _weights_of(self, layer: Any) -> Weights:
        return self.weights.get(id(layer)) or weights_of(layer)

    def _fold(self, call: Call, into: Call, weights: Weights) -> str:
        """Take note of a fold, and return what stays of the BN layer."""
        self.folded[id(call.layer)] = call.layer
        self.weights[id(into.layer)] = weights
        activation, adds = getattr(call.layer, "activation", None), call.adds
        if activation is None and not adds:
            self._candidates.folded.add(call)
            return ""
        stays = ["its residual"] * adds
        if activation is not None:
            stays.append(getattr(activation, "__name__", "its activation"))
        return f"; {' and '.join(stays)} stays in its place"


def _reason(obstacles: Sequence[LeftError]) -> str:
    """Return the reason why a layer is left: where a candidate is next to it, only what keeps that from it."""
    of_candidates = [left for left in obstacles if not isinstance(left, NoCandidateError)]
    return "; ".join(str(left) for left in of_candidates or obstacles)
