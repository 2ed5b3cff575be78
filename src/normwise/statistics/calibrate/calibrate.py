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
    r"""Replace the running statistics, in place, by the exact statistics of the data, summed in float64.

    **Order.** ``"evaluation"``: each layer gets the statistics of its inputs in evaluation, where the layers before
    it normalise by their final statistics. The size and order of the batches do not matter. This takes one pass
    over the data for each layer, up to that layer: as much work as about half as many evaluation passes as there
    are layers. ``"training"``: each layer gets the statistics of its inputs in training, where the layers before it
    normalise by batch statistics, in a single pass; a batch with one value per channel is normalised by everything
    seen so far. Use it if there is time for one pass only, if the data can be read only once, or to get the limit
    of running averages (``torch.optim.swa_utils.update_bn``). With large, shuffled batches both nearly agree.
    During calibration, ghost and renorm layers normalise by the whole batch, as plain BN does.

    **Variance.** ``"population"``: the variance of all values together, including the variance between the batches'
    means, :math:`\frac{1}{n-1}\sum (x - \mu)^2`. ``"batch"``: the mean of the batches' own unbiased variances with
    weights :math:`n_b - 1`, which leaves out the differences of the means: :math:`\sum_b \sum (x - \mu_b)^2 /
    \sum_b (n_b - 1)`. Training normalises with the batch's variance; a layer's inputs in evaluation have the
    population's. They differ if the batches differ: small batches, batches sorted by class, or from several
    sources. Choose "population" to describe the data, and "batch" to stay close to training (Wu & Johnson 2021,
    https://arxiv.org/abs/2105.07576, section 3, compare the two).

    **Recurrent BN.** A layer with statistics for each time step, as in :class:`normwise.nn.BatchNormLSTM`, counts
    as one layer per step: the inputs of a step depend on the steps before it, so ``"evaluation"`` takes a pass for
    each step of each of its norms, up to that step; ``"training"`` takes one pass for all. Steps past
    ``max_length`` share one set of statistics, which is measured again until it stops converging: choose a
    ``max_length`` that few sequences exceed. Steps that neither the data nor training have reached get the
    statistics of the last reached step.

    **Subclasses.** A layer with its own forward may transpose, select, mask or flatten its input before it
    normalises. So the tensors that it passes to ``batch_norm`` with its running statistics are measured, not its
    inputs. If it makes no such call, its forward is run again with other inputs and statistics, to find out whether
    it normalises its input. If that stays unclear, the layer is left unchanged, and the report gives the reason.

    Only running means and variances change: other buffers, momentum, modes, hooks and the random state stay the
    same, and after an exception the statistics do, too. Every pass begins with the same random state, including the
    loader's own generators, so that a loader that shuffles or augments yields the same batches again. If the data
    still differ between passes, the report says so. Memory does not grow with the number of batches.

    Args:
        model: Model with BN layers, torch's or ours. A compiled model runs eagerly during calibration.
        data: One or several batches of tensors or NumPy arrays; or a function that returns batches, such as a
            generator function. The data are read once for each pass, and each batch is copied to the model's
            device. If a batch is a dict, keys that the model's forward has no argument for, such as ``labels``, are
            left out and named in the report.
        order, variance: Order of the measurements and kind of variance, see above.
        max_batches: Most batches to read from the data.
        include_frozen: Whether to calibrate frozen layers, too (:func:`normwise.freeze`); else they stay unchanged.
        group: Processes that calibrate copies of the model at the same time, each on its own data: their statistics
            are merged, and all processes get the same result.
        progress: Function that is called after each batch.

    Returns:
        A report with the outcome for each layer, and the error of its old statistics. A layer that the data never
        reach, that sees fewer than two values per channel, or that keeps no running statistics is left unchanged,
        and the report gives the reason.

    Raises:
        ArgumentError: order or variance is unknown; there are no batches; the data can be read only once and
            several passes are needed; or a layer has not been initialised, or has statistics that share memory.
        ModelError: there is no BN layer, or none could be calibrated though not all are frozen; or the model fails
            on a batch, or a layer's input is not finite.

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
    """Return why a layer is not calibrated; empty if it is."""
    reason = reason_without_statistics(path, layer)
    if not reason and not include_frozen and kind_of_norm(layer).frozen:
        return "it is frozen (include_frozen=True calibrates it, too)"
    return reason


def _steps_reached(records: list[LayerCalibration]) -> int:
    """Return the number of time steps up to the last one that the data reach."""
    return max((step + 1 for step, record in enumerate(records) if record.count > 1), default=0)


def _check_frozen(found: Mapping[str, nn.Module], records: Mapping[str, list[LayerCalibration]]) -> None:
    """Raise ModelError because no layer was calibrated, unless all are frozen."""
    reasons: dict[str, str] = {}
    for path, layer in found.items():
        if not kind_of_norm(layer).frozen:
            reasons.setdefault(records[path][0].reason, path)
    if reasons:
        each = "; ".join(f"{path!r}: {reason}" for reason, path in reasons.items())
        raise ModelError(f"none of {len(found)} BN layers could be calibrated, and all is as it was. {each}")
