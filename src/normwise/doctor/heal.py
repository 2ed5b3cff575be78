"""Safe fixes that are common to several rules, applied to a copy of the model."""

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.errors import NormwiseError
from normwise.statistics import Data, batches_of, calibrate
from normwise.statistics.preserve.preserve_model import unchanged_in_evaluation
from normwise.surgery.core.decision import LeftError


def calibrate_copy(facts: Facts, model: nn.Module, *, include_frozen: bool = False) -> str:
    """Replace the running statistics of a copy by the exact ones of the data, optionally also those of frozen layers.

    If several processes examine the model together, the data of all processes count.

    Raises:
        LeftError: the statistics can't be replaced.
    """
    try:
        group = None if facts.meeting is None else facts.meeting.group
        record = calibrate(model, data_to_read_again(facts), include_frozen=include_frozen, group=group)
    except NormwiseError as error:
        raise LeftError(str(error)) from error
    replaced = sum(layer.calibrated for layer in record.layers)
    return f"statistics of {replaced} of {len(record.layers)} layers replaced by exact ones"


def data_to_read_again(facts: Facts) -> Data:
    """Return the user's data, or the batches that were read if the data can be read only once."""
    if facts.data is None:
        raise LeftError("that needs data")
    batches = batches_of(facts.data)
    return [batch.given for batch in facts.batches.batches] if isinstance(batches, Iterator) else facts.data


def float_norms(facts: Facts, model: nn.Module, paths: Sequence[str]) -> str:
    """Convert BN layers of a copy to float32, parameters and buffers, and return a description.

    Raises:
        LeftError: the model does not run with them, or there are no data to try it.
    """
    if "data" not in facts.has:
        raise LeftError("without data nothing shows that the model still runs")
    layers = [model.get_submodule(path) for path in dict.fromkeys(paths)]
    modules = [module for layer in layers for module in layer.modules()]
    parameters = [(parameter, parameter.data) for layer in layers for parameter in layer.parameters()]
    buffers = [(module, dict(module._buffers)) for module in modules]
    for layer in layers:
        layer.float()
    batch = facts.batches.batches[0]
    args, kwargs = facts.task.moved((batch.args, batch.kwargs))
    try:
        with unchanged_in_evaluation(model, data=facts.data), torch.no_grad():
            model(*args, **kwargs)
    except Exception as error:  # the user's model may raise anything
        for parameter, value in parameters:
            parameter.data = value
        for module, held in buffers:
            module._buffers.update(held)
        raise LeftError(
            f"the model fails with BN layers in float32: {type(error).__name__}: {error}"
        ) from error
    return f"{len(layers)} BN {'layer' if len(layers) == 1 else 'layers'} converted to float32"
