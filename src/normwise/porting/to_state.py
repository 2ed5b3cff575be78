"""The weights of a Keras model as a state dict of torch, without a model of torch."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from normwise.errors import ArgumentError
from normwise.import_keras import import_keras
from normwise.records import PortedLayer, Porting

if TYPE_CHECKING:
    from torch import Tensor


def port_to_state(
    source: Any, *, values_per_channel: int | Mapping[str, int] | None = None
) -> "tuple[dict[str, Tensor], Porting]":
    """Return the weights of a Keras model under its layers' names, in the layouts of torch's state dicts.

    Dense layers behind a Flatten are permuted as for a torch model with channels behind the batch.

    Args:
        source: A Keras model.
        values_per_channel: See :func:`normwise.port`.

    Raises:
        ModelError: a layer that torch lacks.
        MissingPackageError: Keras, or its backend, is not installed.
    """
    import_keras()
    import torch

    from normwise.porting.bessel import bessel_factors
    from normwise.porting.evaluation.call_record import ModelRecord
    from normwise.porting.evaluation.example_inputs import example_inputs
    from normwise.porting.evaluation.feature_order import set_orders
    from normwise.porting.evaluation.run_keras import run_keras
    from normwise.porting.layers.keras_layers import keras_layers
    from normwise.porting.layers.state_layers import StateLayer, state_dict_of, state_path
    from normwise.porting.pairs import Pair

    layers = keras_layers(source)
    pairs = [Pair(layer, StateLayer(state_path(layer.path), {}), layer.kind or "") for layer in layers]
    for pair in pairs:
        pair.target.axis = pair.target.axis_of(pair.kind)
    notes = ["ε and momentum are not in a state dict: give the layers in torch those of Keras's"]
    try:
        inputs = example_inputs(
            None,
            None,
            from_torch=False,
            torch_layers=[pair.target for pair in pairs],
            keras_layers=layers,
            keras_model=source,
        )
    except ArgumentError:
        notes.append("the model says no shape of its inputs: a dense layer behind a Flatten is not permuted")
    else:
        run = run_keras(source, layers, inputs.keras)
        set_orders(pairs, run, from_torch=False, moved_input=inputs.moved)
    factors, said = bessel_factors(
        pairs, ModelRecord(), from_torch=False, values_per_channel=values_per_channel, batch_size=None
    )
    state = state_dict_of(layers)
    for pair, factor in zip(pairs, factors, strict=True):
        if factor != 1:
            with torch.no_grad():
                state[f"{pair.target.path}.running_var"].mul_(factor)
    moved = [PortedLayer(pair.source.path, pair.target.path, pair.kind, "") for pair in pairs]
    return state, Porting("keras", "state dict", tuple(moved), math.nan, math.nan, (*notes, *said))
