"""Measurement of the inputs of norm layers, for code that must not change the model."""

from torch import nn

from normwise.errors import ArgumentError
from normwise.layers import kind_of_norm
from normwise.statistics.measure.measurable_layers import layers_of, reason_without_statistics
from normwise.statistics.measure.measured_model import measuring
from normwise.statistics.measure.measurement import Measurement
from normwise.statistics.measure.repeated_batches import check_max_batches
from normwise.statistics.measure.writable_statistics import check_writable_statistics
from normwise.statistics.model_inputs import Data, batches_of


def measure(
    model: nn.Module, data: Data, *, by_batch: bool = False, max_batches: int | None = None
) -> Measurement:
    """Measure the inputs of each BN layer in evaluation, in one pass, and leave the model unchanged.

    Buffers, modes, hooks, attributes and gradients of the model, and the random states, stay the same bit for bit,
    also after an exception. A compiled model runs eagerly.

    The result's ``seen`` has, by the path of a slot, ``together.count``, ``together.mean`` and
    ``variance("population")``, and in ``within`` and ``between`` the scatter of values within the batches and of
    the batches' means. For each slot of :func:`normwise.layers.slots_of`, ``layer_record(slot, measurement,
    slot.values(), "population")`` of ``calibrate/layer_record.py`` returns the error of its running statistics, or
    the reason why it is unknown.

    Masks, layers with statistics for each time step, subclasses, and layers that normalise by hand are handled as
    in :func:`normwise.calibrate`. Frozen layers are measured, too.

    Args:
        model: Model with BN layers, torch's or ours.
        data: One or several batches, or a function that returns batches. They are read once, so an iterator is
            enough.
        by_batch: Whether the layers, except frozen ones, normalise by the statistics of each batch, as in training,
            with dropout off; their inputs are then those of training. Otherwise they normalise by their running
            statistics, and nothing is written to.
        max_batches: Most batches to read from the data.

    Raises:
        ArgumentError: there are no batches; a layer has not been initialised; or, with ``by_batch``, running
            statistics share memory.
        ModelError: there is no BN layer; or the model fails on a batch, or a layer's input is not finite.

    Example:
        >>> import torch
        >>> from normwise.statistics.measure.measure import measure
        >>> model = torch.nn.Sequential(torch.nn.BatchNorm1d(1))
        >>> seen = measure(model, [torch.tensor([[1.0], [3.0]]), torch.tensor([[8.0]])]).seen["0"]
        >>> seen.together.count, seen.together.mean.item(), seen.within.item(), seen.between.item()
        (3, 4.0, 2.0, 24.0)
    """
    batches = batches_of(data)
    check_max_batches(max_batches)
    found = layers_of(model, to="measure")
    reasons = {path: reason_without_statistics(path, layer) for path, layer in found.items()}
    layers = {path: layer for path, layer in found.items() if not reasons[path]}
    if by_batch:
        check_writable_statistics(layers)
    with measuring(model, layers, batches, max_batches) as measured:
        fixed = {path for path, layer in layers.items() if kind_of_norm(layer).frozen}
        moving = [path for path, slot in measured.slots.items() if slot.layer_path not in fixed]
        measurement = measured.measure(measured.slots, by_batch=moving if by_batch else ())
    if measurement.batches == 0:
        raise ArgumentError("the data have no batches, so nothing was measured")
    measurement.reasons |= {path: reason for path, reason in reasons.items() if reason}
    return measurement
