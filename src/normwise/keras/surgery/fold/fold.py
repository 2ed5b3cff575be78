"""Folding of BN into the convolution or dense layer next to it, proven on an example."""

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
    r"""Return a copy of a model in which BN layers are folded into the convolutions and dense layers next to them.

    .. math::

        s (W x + b) + t = (s W) x + (s b + t), \qquad W (s x + t) + b = (W s) x + (W t + b),
        \qquad s = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}, \; t = \beta - s \mu

    If values flow from a ``Dense``, ``Conv1D`` to ``3D``, ``Conv1DTranspose`` to ``3DTranspose``,
    ``DepthwiseConv1D`` or ``2D``, or ``SeparableConv1D`` or ``2D`` only into a BN layer, without an activation in
    between, the first layer gets new weights, and the BN layer is removed, or replaced by its activation and
    residual (those of :class:`normwise.keras.BatchNormalization`). If there is no such layer before it, a layer
    after it can be used, provided that it does not pad with zeros, or the shift is zero. Dropout and other layers
    that do nothing in inference may be in between. Nested models are followed; layers with their own ``call``, and
    wrappers such as ``TimeDistributed``, are not, and BN layers in them are left unchanged.

    Each pair is proven before it is folded: the two layers and the new one are computed on the first layer's input
    on the example and on random numbers, in float64 on TensorFlow, and in float32 on JAX and torch, where Keras
    computes with no more digits. If they do not agree, to 1e-9 of the largest output in float64 and 3.5e-4 in
    float32, the pair is left unchanged, and the report gives the reason. Finally the outputs of the models are
    compared on the example.

    Args:
        model: Functional or sequential Keras model, with Keras's BN or ours. It is not changed.
        example: One batch: the input, ``(x, y)``, or a dictionary or list of several inputs.
        tolerance: Largest difference of the outputs, relative to the largest output; by default half the digits of
            the coarsest dtype that the model computes in, such as 3.5e-4 for float32.

    Returns:
        The copy, for inference and not compiled, with the same layer names; and a report on each BN layer.

    Raises:
        ModelError: the model is a subclass with its own ``call``, or fails on the example; a layer can't be copied;
            or the outputs differ by more than the tolerance.
        ArgumentError: the tolerance is not a positive number, or the model was not built.
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
    """Plan of the foldings of a model: BN layers, and the layers that take them over.

    Attributes:
        folded: Folded BN layers, by ``id``.
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
        """Fold all layers that can be folded, and return the outcome for each BN layer."""
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
        # In the order of the values, so that several BN layers after one convolution all find it; then in
        # reverse.
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
        """Record a fold, and return the remainder of the BN layer."""
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
    """Return the reason why a layer is left unchanged; if a candidate is next to it, only the obstacle there."""
    of_candidates = [left for left in obstacles if not isinstance(left, NoCandidateError)]
    return "; ".join(str(left) for left in of_candidates or obstacles)
