"""Exact running statistics from data."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, get_args

from torch import nn
from torch.distributed import ProcessGroup

from normwise.errors import ArgumentError, ModelError
from normwise.layers import kind_of_norm
from normwise.records import Calibration, LayerCalibration, Order, VarianceKind
from normwise.statistics.calibrate.apply_statistics import apply_statistics
from normwise.statistics.calibrate.layer_record import layer_record
from normwise.statistics.calibrate.schedule import Progress, Schedule
from normwise.statistics.measure.measurable_layers import layers_of, reason_without_statistics
from normwise.statistics.measure.measured_model import measuring
from normwise.statistics.measure.repeated_batches import check_max_batches
from normwise.statistics.measure.writable_statistics import check_writable_statistics
from normwise.statistics.model_inputs import Data, batches_of


def calibrate(
    model: nn.Module,
    data: Data,
    *,
    order: Order = "evaluation",
    variance: VarianceKind = "population",
    max_batches: int | None = None,
    include_frozen: bool = False,
    group: ProcessGroup | None = None,
    progress: Progress | None = None,
) -> Calibration:
    r"""Replace the running statistics, in place, by those of the data, added up in float64.

    **Order.** ``"evaluation"``: each layer has the statistics of its inputs as evaluation will show them, normalised
    by the final statistics of the layers before it. How the data are cut into batches, and in what order they come,
    does not matter. That takes a pass over the data for each layer, as far as that layer: about half as many whole
    evaluation passes as there are layers. ``"training"``: each layer sees its inputs as training shows them, normalised
    by the statistics of their own batch, in a single pass; a batch with one value a channel is normalised by all that
    was seen so far. Take it where one pass must do, where the data can be read once only, or for what running averages
    would converge to (``torch.optim.swa_utils.update_bn``). With large, shuffled batches both agree nearly. Ghost and
    renorm layers normalise by the whole batch meanwhile, as plain BN does.

    **Variance.** ``"population"``: of all values together, that between the batches' means included,
    :math:`\frac{1}{n-1}\sum (x - \mu)^2`. ``"batch"``: the average of the batches' own unbiased variances, each
    weighing :math:`n_b - 1`, which leaves out what the means differ by:
    :math:`\sum_b \sum (x - \mu_b)^2 / \sum_b (n_b - 1)`. That is what training has normalised with; the population's is
    what a layer gets in evaluation. They differ where the batches differ: small, sorted by class, of several
    sources. Take the population's to describe the data, the batches' to stay close to training (Wu & Johnson 2021,
    https://arxiv.org/abs/2105.07576, section 3, compare the two).

    **Recurrent BN.** A layer that has statistics for each time step, as those of :class:`normwise.nn.BatchNormLSTM`,
    counts as a layer for each step: what a step sees depends on those before it, so that ``"evaluation"`` takes a pass
    for each step of each of its norms, as far as that step, where ``"training"`` takes one for all. Steps from
    ``max_length`` on feed their common statistics themselves, and are measured again for as long as that brings them
    closer to settling: take a ``max_length`` that few sequences exceed. Steps that neither the data nor training have
    reached get the statistics of the last that was.

    **Subclasses.** Of a layer whose forward is not torch's or ours, what it normalises is measured, and not what it
    was called with: it may transpose, select, mask or flatten first. The calls of ``batch_norm`` with its running
    statistics are intercepted. Where it makes none, its forward is run again with other inputs and statistics, to see
    whether it normalises its input; if that doesn't show, it is left as it is, and the reason is said.

    Only running means and variances change: other buffers, momentum, modes, hooks and the random state are as they
    were, and if anything raises, so are the statistics. Every pass begins with the same random state, that of a
    loader's own generators included, so that one that shuffles or augments gives the same batches again. Where the data
    differ between passes all the same, the report says so. Memory does not grow with the number of batches.

    Args:
        model: Any model with BN layers, torch's or ours. A compiled model runs eagerly meanwhile.
        data: Batches, or one, of tensors or NumPy's arrays; or a function that gives batches, such as a generator
            function. Each batch is copied to the model's device. Read once for each pass. Of a batch that is a dict,
            keys that the model's forward has no argument for, such as ``labels``, are left out and named in the report.
        order, variance: See above.
        max_batches: Take so many batches of the data and no more.
        include_frozen: Calibrate frozen layers, too (:func:`normwise.freeze`); else they are left alone.
        group: Processes that calibrate copies of the model on data of their own, all at once: their statistics are
            merged, and all have the same ones afterwards.
        progress: Called after each batch.

    Returns:
        What became of each layer, and how far off its old statistics were. A layer that is never reached, that sees
        fewer than two values a channel, or that keeps no running statistics is left as it is, and the reason is said.

    Raises:
        ArgumentError: an unknown order or variance; no batches; data that can be read once only and more than one
            pass to make; a layer that has not been initialised, or whose statistics share memory.
        ModelError: there is no BN layer, or none could be calibrated though not all are frozen; the model fails on a
            batch, or gives a layer values that are not finite.

    Example:
        >>> import torch, normwise
        >>> model = torch.nn.Sequential(torch.nn.BatchNorm1d(1))
        >>> report = normwise.calibrate(model, torch.tensor([[1.0], [2.0], [6.0]]))
        >>> model[0].running_mean.item(), model[0].running_var.item(), report.layers[0].count
        (3.0, 7.0, 3)
    """
    if not isinstance(model, nn.Module):
        raise ArgumentError(
            f"expected a torch.nn.Module as model, got {type(model).__name__}; the data come second"
        )
    _check_choice("order", order, get_args(Order))
    _check_choice("variance", variance, get_args(VarianceKind))
    batches = batches_of(data)
    if order == "evaluation" and isinstance(batches, Iterator):
        raise ArgumentError(
            'order="evaluation" reads the batches several times, and an iterator can be read once; pass a list or a '
            'DataLoader, or order="training"'
        )
    check_max_batches(max_batches)
    found = layers_of(model, to="calibrate")
    left = {
        path: reason
        for path, layer in found.items()
        if (reason := _reason_to_leave(path, layer, include_frozen))
    }
    layers = {path: layer for path, layer in found.items() if path not in left}
    check_writable_statistics(layers)
    with measuring(model, layers, batches, max_batches) as measured:
        schedule = Schedule(measured, variance, group=group, progress=progress)
        if layers:
            schedule.run(order)
            if schedule.measured.batches == 0:
                raise ArgumentError("the data have no batches, so nothing was calibrated")
    records: dict[str, list[LayerCalibration]] = {path: [] for path in found}
    for path, reason in left.items():
        records[path].append(LayerCalibration(path, type(found[path]).__name__, False, reason))
    for slot in measured.slots.values():
        records[slot.layer_path].append(
            layer_record(slot, schedule.measured, schedule.before[slot.path], variance)
        )
    if not any(record.calibrated for several in records.values() for record in several):
        _check_frozen(found, records)
    reached = {path: _steps_reached(records[path]) for path in layers}
    for path in apply_statistics(measured.slots, schedule.statistics, reached):
        late = slice(reached[path], None)
        reason = f"the data never reach it, and it has got the statistics of step {reached[path] - 1}"
        records[path][late] = [replace(record, reason=reason) for record in records[path][late]]
    return Calibration(
        tuple(record for several in records.values() for record in several),
        order,
        variance,
        schedule.measured.batches,
        schedule.passes,
        schedule.residual,
        tuple(schedule.measured.dropped),
        measured.batches.varied,
    )


def _check_choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in known:
        raise ArgumentError(f"unknown {name} {value!r}; known are {', '.join(map(repr, known))}")


def _reason_to_leave(path: str, layer: nn.Module, include_frozen: bool) -> str:
    """Return why a layer is not to be calibrated; empty for one that is."""
    reason = reason_without_statistics(path, layer)
    if not reason and not include_frozen and kind_of_norm(layer).frozen:
        return "it is frozen (include_frozen=True calibrates it, too)"
    return reason


def _steps_reached(records: list[LayerCalibration]) -> int:
    """Return the number of time steps up to the last that the data reach."""
    return max((step + 1 for step, record in enumerate(records) if record.count > 1), default=0)


def _check_frozen(found: Mapping[str, nn.Module], records: Mapping[str, list[LayerCalibration]]) -> None:
    """Raise unless all layers are frozen, which is why none was calibrated."""
    reasons: dict[str, str] = {}
    for path, layer in found.items():
        if not kind_of_norm(layer).frozen:
            reasons.setdefault(records[path][0].reason, path)
    if reasons:
        each = "; ".join(f"{path!r}: {reason}" for reason, path in reasons.items())
        raise ModelError(f"none of {len(found)} BN layers could be calibrated, and all is as it was. {each}")
