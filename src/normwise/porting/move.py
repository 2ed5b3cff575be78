"""The move of weights: pair layers, write, compare, and restore the target if anything fails."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from normwise.porting.bessel import bessel_factors
from normwise.porting.checks import check_settings, checked_arrays, described
from normwise.porting.evaluation.call_record import ModelRecord
from normwise.porting.evaluation.example_inputs import ExampleInputs, example_inputs
from normwise.porting.evaluation.feature_order import set_orders
from normwise.porting.evaluation.proof import Proof, compare, output_difference
from normwise.porting.evaluation.run_keras import KerasRun, run_keras
from normwise.porting.evaluation.run_torch import run_torch
from normwise.porting.evaluation.telling import silent
from normwise.porting.layers.keras_layers import keras_layers
from normwise.porting.layers.state_layers import StateLayer, state_layers
from normwise.porting.layers.torch_layers import TorchLayer, torch_layers
from normwise.porting.pairs import By, Pair, pairs_of
from normwise.porting.state_epsilons import set_epsilons
from normwise.records import PortedLayer, Porting

_EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
#: Least tolerance: Keras's own BN layer computes parts in float32 even for float64.
_CLOSEST = 1e-6
#: Standard deviations of generated examples, tried in turn.
_SCALES = (1.0, 30.0, 1000.0)
_COMPILED = ("train_function", "test_function", "predict_function")


@dataclass(frozen=True, eq=False)
class Request:
    """Arguments of :func:`normwise.port`, checked; ``frameworks`` are those of source and target."""

    source: Any
    target: Any
    frameworks: tuple[str, str]
    example: Any
    target_example: Any
    by: By
    convert_settings: bool
    values_per_channel: int | Mapping[str, int] | None
    batch_size: int | None
    eps: float | Mapping[str, float] | None
    tolerance: float | None

    @property
    def from_torch(self) -> bool:
        """Return whether the source is the torch model."""
        return self.frameworks[1] == "keras"


class _Models:
    """Both models, with their layers and evaluations."""

    def __init__(self, request: Request) -> None:
        self.request = request
        own, theirs = request.source, request.target
        self.torch_model, self.keras_model = (own, theirs) if request.from_torch else (theirs, own)
        self.evaluates = "state dict" not in request.frameworks
        found = torch_layers(self.torch_model) if self.evaluates else state_layers(self.torch_model)
        self.torch_layers: list[Any] = list(found)
        self.keras_layers = keras_layers(self.keras_model)

    def run_torch(self, inputs: ExampleInputs) -> ModelRecord:
        """Evaluate the torch model."""
        layers = [layer for layer in self.torch_layers if isinstance(layer, TorchLayer)]
        return run_torch(self.torch_model, layers, inputs.torch) if self.evaluates else ModelRecord()

    def run_keras(self, inputs: ExampleInputs) -> KerasRun:
        """Evaluate the Keras model."""
        return run_keras(self.keras_model, self.keras_layers, inputs.keras)

    def run_target(self, inputs: ExampleInputs) -> ModelRecord:
        """Evaluate the target."""
        return self.run_keras(inputs).record if self.request.from_torch else self.run_torch(inputs)

    def inputs(self, scale: float = 1.0) -> ExampleInputs:
        """Return the example in both layouts, or random numbers with a standard deviation if there is none."""
        request = self.request
        return example_inputs(
            request.example,
            request.target_example,
            from_torch=request.from_torch,
            torch_layers=self.torch_layers,
            keras_layers=self.keras_layers,
            keras_model=self.keras_model,
            scale=scale,
        )

    def run_both(self, tolerance: float) -> tuple[ExampleInputs, ModelRecord, KerasRun]:
        """Evaluate both models on the example.

        Without an example, the random numbers grow until they prove something about every layer of the source.
        """
        tried = []
        for scale in _SCALES if self.request.example is None else (1.0,):
            inputs = self.inputs(scale)
            of_torch, of_keras = self.run_torch(inputs), self.run_keras(inputs)
            found = (inputs, of_torch, of_keras)
            if not self.evaluates:
                return found
            if self.request.from_torch:
                without = silent(self.torch_layers, of_torch, tolerance)
            else:
                without = silent(self.keras_layers, of_keras.record, tolerance)
            if not without:
                return found
            tried.append((without, found))
        return min(tried, key=lambda one: one[0])[1]

    def pairs(self, of_torch: ModelRecord | None, of_keras: ModelRecord | None) -> list[Pair]:
        """Return the layers that belong together, in the order of records if there are any."""
        own: list[Any] = [*self.torch_layers]
        theirs: list[Any] = [*self.keras_layers]
        if of_torch is not None and of_keras is not None:
            own, theirs = of_torch.in_order(own), of_keras.in_order(theirs)
        both = (own, theirs) if self.request.from_torch else (theirs, own)
        return pairs_of(*both, self.request.by)

    def epsilon(self) -> float:
        """Return the machine epsilon of the coarsest dtype that a layer computes in."""
        names = {getattr(layer.module, "compute_dtype", "float32") for layer in self.keras_layers}
        found = [_EPSILON.get(name, _EPSILON["float32"]) for name in names]
        for layer in self.torch_layers:
            found += [torch.finfo(one.dtype).eps for one in layer.tensors.values() if one.is_floating_point()]
        return max(found, default=_EPSILON["float32"])


def move(request: Request) -> Porting:
    """See :func:`normwise.port`."""
    models = _Models(request)
    tolerance = request.tolerance
    if tolerance is None:
        tolerance = max(math.sqrt(models.epsilon()), _CLOSEST)
    if not models.evaluates or request.by != "order":
        pairs = models.pairs(None, None)
        for pair in pairs:
            if isinstance(pair.source, StateLayer):
                pair.source.axis = pair.source.axis_of(pair.kind)
        inputs, of_torch, of_keras = models.run_both(tolerance)
    else:
        inputs, of_torch, of_keras = models.run_both(tolerance)
        pairs = models.pairs(of_torch, of_keras.record)
    set_orders(pairs, of_keras, from_torch=request.from_torch, moved_input=inputs.moved)
    said = [] if models.evaluates else set_epsilons(pairs, request.eps)
    checked = [
        (check_settings(pair, convert=request.convert_settings), checked_arrays(pair)) for pair in pairs
    ]
    changed, arrays = [settings for settings, _ in checked], [weights for _, weights in checked]
    factors, notes = bessel_factors(
        pairs,
        of_torch if request.from_torch and models.evaluates else of_keras.record,
        from_torch=request.from_torch,
        values_per_channel=request.values_per_channel,
        batch_size=request.batch_size,
    )
    details = [
        described(pair, settings, pair.target.settings())
        for pair, settings in zip(pairs, changed, strict=True)
    ]
    restores = [pair.target.keep() for pair in pairs]
    try:
        for pair, weights, settings in zip(pairs, arrays, changed, strict=True):
            # ε first, since renormalization computes deviations from it.
            notes += pair.target.configure(settings)
            pair.target.write(pair.kind, weights)
        after, proof = ModelRecord(), Proof((math.nan,) * len(pairs), math.nan, ())
        if models.evaluates:
            before, after = of_torch if request.from_torch else of_keras.record, models.run_target(inputs)
            proof = compare(pairs, before, after, from_torch=request.from_torch, tolerance=tolerance)
        notes += [*proof.notes, *_rounded(pairs, arrays), *said]
        for pair, weights, factor in zip(pairs, arrays, factors, strict=True):
            if factor != 1:
                variance = weights["running_var"]
                corrected = weights | {"running_var": (variance * factor).astype(variance.dtype)}
                pair.target.write(pair.kind, corrected)
        if models.evaluates and any(factor != 1 for factor in factors):
            error = output_difference(after, models.run_target(inputs))
            notes.append(
                f"the corrected variances move the outputs on the example by {error:.1e} of the largest"
            )
    except BaseException:
        for restore in restores:
            restore()
        raise
    _forget_compiled(request.target)
    layers = [
        PortedLayer(pair.source.path, pair.target.path, pair.kind, detail + _said(factor, detail), error)
        for pair, detail, factor, error in zip(pairs, details, factors, proof.layers, strict=True)
    ]
    used = tolerance if models.evaluates else math.nan
    return Porting(*request.frameworks, tuple(layers), proof.outputs, used, tuple(notes))


def _rounded(pairs: list[Pair], arrays: list[dict[str, np.ndarray]]) -> list[str]:
    """Return a sentence on weights that the target's dtype could not hold."""
    paths = []
    for pair, weights in zip(pairs, arrays, strict=True):
        held = pair.target.arrays(pair.kind)
        if any(not np.array_equal(held[name], value, equal_nan=True) for name, value in weights.items()):
            paths.append(pair.target.path)
    return [f"the target's type rounded weights of {', '.join(paths)}"] if paths else []


def _said(factor: float, detail: str) -> str:
    return "" if factor == 1 else f"{', ' if detail else ''}variance times {factor:.6g}"


def _forget_compiled(target: Any) -> None:
    """Make a Keras model compile its functions again, in which ε and momentum are constants."""
    if isinstance(target, torch.nn.Module) and not hasattr(target, "_flatten_layers"):
        return
    for name in _COMPILED:
        if hasattr(target, name):
            setattr(target, name, None)
