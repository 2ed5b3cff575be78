"""Conversion of a Keras model's weights to a torch state dict, without a torch model."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from normwise.errors import ArgumentError
from normwise.import_keras import import_keras
from normwise.records import PortedLayer, Porting

if TYPE_CHECKING:
    from torch import Tensor

    from normwise.porting.evaluation.call_record import ModelRecord
    from normwise.porting.pairs import Pair


def port_to_state(
    source: Any,
    *,
    example: Any = None,
    values_per_channel: int | Mapping[str, int] | None = None,
    batch_size: int | None = None,
) -> "tuple[dict[str, Tensor], Porting]":
    """Return the weights of a Keras model under its layers' names, in the layouts of torch's state dicts.

    Dense layers after a Flatten are permuted as for a torch model with channels after the batch. A state dict holds
    no ε and no momentum: the report has those of each layer, in torch's convention.

    Args:
        source: Keras model.
        example: Inputs of the model; None for random numbers of its input shape.
        values_per_channel, batch_size: Arguments of :func:`normwise.port`.

    Raises:
        ModelError: torch lacks a layer.
        ArgumentError: an argument contradicts another, or no example can be generated for a model with a Flatten or
            Reshape, after which the order of features differs in torch.
        MissingPackageError: Keras, or its backend, is not installed.
    """
    import_keras()
    import torch

    from normwise.porting.bessel import bessel_factors, check_counts
    from normwise.porting.layers.keras_layers import keras_layers
    from normwise.porting.layers.state_layers import StateLayer, state_dict_of, state_path
    from normwise.porting.pairs import Pair

    check_counts(values_per_channel, batch_size)
    layers = keras_layers(source)
    pairs = [Pair(layer, StateLayer(state_path(layer.path), {}), layer.kind or "") for layer in layers]
    for pair in pairs:
        pair.target.axis = pair.target.axis_of(pair.kind)
    record = _evaluated(source, pairs, example)
    factors, said = bessel_factors(
        pairs, record, from_torch=False, values_per_channel=values_per_channel, batch_size=batch_size
    )
    state = state_dict_of(layers)
    for pair, factor in zip(pairs, factors, strict=True):
        if factor != 1:
            with torch.no_grad():
                state[f"{pair.target.path}.running_var"].mul_(factor)
    moved = [PortedLayer(pair.source.path, pair.target.path, pair.kind, _settings(pair)) for pair in pairs]
    if any(layer.detail for layer in moved):
        said.append("a state dict holds no ε and no momentum: make the layers in torch with those above")
    return state, Porting("keras", "state dict", tuple(moved), math.nan, math.nan, tuple(said))


def _evaluated(source: Any, pairs: "Sequence[Pair]", example: Any) -> "ModelRecord":
    """Evaluate the model, and set the order of layers after a Flatten; return an empty record without an example."""
    import keras

    from normwise.porting.evaluation.call_record import ModelRecord
    from normwise.porting.evaluation.example_inputs import example_inputs
    from normwise.porting.evaluation.feature_order import set_orders
    from normwise.porting.evaluation.run_keras import run_keras

    layers = [pair.source for pair in pairs]
    try:
        inputs = example_inputs(
            example,
            None,
            from_torch=False,
            torch_layers=[pair.target for pair in pairs],
            keras_layers=layers,
            keras_model=source,
        )
    except ArgumentError:
        arranging = (keras.layers.Flatten, keras.layers.Reshape)
        within = source._flatten_layers(include_self=True, recursive=True)
        if example is not None or any(isinstance(layer, arranging) for layer in within):
            raise
        return ModelRecord()
    run = run_keras(source, layers, inputs.keras)
    set_orders(list(pairs), run, from_torch=False, moved_input=inputs.moved)
    return run.record


def _settings(pair: "Pair") -> str:
    """Return ε and momentum for the layer in torch."""
    settings = pair.source.settings()
    said = [f"ε {settings['eps']:g}"] if "eps" in settings else []
    if "momentum" in settings:
        momentum = settings["momentum"]
        said.append(f"momentum {'None' if momentum is None else f'{momentum:g}'}")
    return ", ".join(said)
