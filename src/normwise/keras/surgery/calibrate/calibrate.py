"""Exact moving statistics from data."""

from dataclasses import replace
from typing import Any, get_args

from normwise.errors import ArgumentError, ModelError
from normwise.keras.surgery.batch_norms import batch_norms, check_model
from normwise.keras.surgery.calibrate.batches import Batches, Data, check_batches
from normwise.keras.surgery.calibrate.layer_statistics import put, put_all, with_comparison
from normwise.keras.surgery.calibrate.one_pass import reason_to_leave
from normwise.keras.surgery.calibrate.schedule import Schedule
from normwise.keras.surgery.process_state import unchanged
from normwise.records import Calibration, LayerCalibration, Order, VarianceKind


def calibrate(
    model: Any,
    data: Data,
    *,
    order: Order = "evaluation",
    variance: VarianceKind = "population",
    max_batches: int | None = None,
    batch_size: int = 32,
    include_frozen: bool = False,
) -> Calibration:
    r"""Replace the moving statistics, in place, by the exact statistics of the data, summed in float64.

    The settings are those of :func:`normwise.calibrate`, which explains them.

    **Order.** ``"evaluation"``: each layer gets the statistics of its inputs in evaluation, where the layers before
    it normalise by their final statistics. The size of the batches does not matter. This takes one pass over the
    data for each layer, up to that layer. ``"training"``: each layer gets the statistics of its inputs in training,
    where the layers before it normalise by batch statistics, in a single pass.

    **Variance.** ``"population"``: the variance of all values together, :math:`\frac{1}{n}\sum (x - \mu)^2`, as in
    Keras. ``"batch"``: the mean of the batches' own variances, :math:`\sum_b \sum (x - \mu_b)^2 / \sum_b n_b`. A
    layer with ``unbiased_moving_variance`` gets Bessel's correction: :math:`n - 1`, and :math:`\sum_b (n_b - 1)`.

    Positions that a mask excludes take no part. During calibration renorm layers, and those with
    ``virtual_batch_size``, normalise by the whole batch, as plain BN does; all statistics of a renorm layer become
    those of the data, so that training continues from them. The number of batches so far, which a layer with
    ``momentum=None`` has, stays. Nothing else changes: other variables, trainable flags, the optimiser, metrics,
    and the random state of Python, NumPy and torch; after an exception the statistics don't, either. Every pass
    begins with the same random state, so that a loader that shuffles yields the same batches again; if the data
    still differ, the report says so. The model runs eagerly, and needs no ``compile``.

    Args:
        model: Built model with BN layers, Keras's or ours: functional, sequential, nested or subclassed.
        data: Data as for ``fit``: an array or ``(x, y)``, cut into batches of ``batch_size``; dictionaries or lists
            of arrays for several inputs; a ``tf.data.Dataset``, ``keras.utils.PyDataset``, ``DataLoader`` or list
            of batches; or a function that returns batches, such as a generator function. If a batch is a tuple or
            list, its first item is the input.
        order, variance: Order of the measurements and kind of variance, see above.
        max_batches: Most batches to read from the data.
        batch_size: Number of samples per batch that is cut from an array.
        include_frozen: Whether to calibrate layers with ``trainable=False`` or ``frozen_statistics``, too; else
            they stay unchanged.

    Returns:
        A report with the outcome for each layer, and the error of its old statistics. A layer that the data never
        reach, that sees fewer than two values per channel, or whose inputs can't be observed is left unchanged, and
        the report gives the reason.

    Raises:
        ArgumentError: order or variance is unknown; there are no batches; the data can be read only once and
            several passes are needed; or the model was not built.
        ModelError: there is no BN layer, or none could be calibrated though not all are frozen; or the model fails
            on a batch, or a layer's input is not finite.
    """
    check_model(model)
    _check_choice("order", order, get_args(Order))
    _check_choice("variance", variance, get_args(VarianceKind))
    check_batches(max_batches, batch_size)
    batches = Batches(data, len(getattr(model, "inputs", None) or [None]), batch_size, max_batches)
    if order == "evaluation" and batches.once:
        raise ArgumentError(
            'order="evaluation" reads the batches several times, and an iterator can be read once; pass a list, a data '
            'set or the function that makes it, or order="training"'
        )
    found = batch_norms(model)
    if not found:
        raise ModelError(f"the model {model.name!r} has no BatchNormalization layer to calibrate")
    left = {
        path: reason for path, layer in found.items() if (reason := reason_to_leave(layer, include_frozen))
    }
    layers = {path: layer for path, layer in found.items() if path not in left}
    moving = [weight for layer in layers.values() for weight in layer.non_trainable_variables]
    with unchanged(model, but=moving) as state:
        schedule = Schedule(model, layers, batches, variance, state)
        if layers:
            schedule.run(order)
            if not schedule.measured.batches:
                raise ArgumentError("the data have no batches, so nothing was calibrated")
        records = []
        for path, layer in found.items():
            record = LayerCalibration(path, type(layer).__name__, False, left.get(path, ""))
            if path in layers:
                record = _finished(record, layer, schedule)
            records.append(record)
        _check_some(records, found)
    return Calibration(
        tuple(records),
        order,
        variance,
        schedule.measured.batches,
        schedule.passes,
        schedule.residual,
        varied=batches.varied,
    )


def _finished(record: LayerCalibration, layer: Any, schedule: Schedule) -> LayerCalibration:
    """Write the new statistics of a layer, or restore the old ones, and return its record."""
    path = record.path
    record = replace(record, count=schedule.measured.seen[path].together.count)
    if reason := schedule.reason_against(path):
        put(layer, *schedule.before[path])
        return replace(record, reason=reason)
    mean, variance = schedule.statistics[path]
    put_all(layer, mean, variance)
    return with_comparison(
        replace(record, calibrated=True), schedule.before[path], mean, variance, layer.epsilon
    )


def _check_choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in known:
        raise ArgumentError(f"unknown {name} {value!r}; known are {', '.join(map(repr, known))}")


def _check_some(records: list[LayerCalibration], layers: dict[str, Any]) -> None:
    """Raise ModelError unless a layer was calibrated, or all are frozen."""
    if any(record.calibrated for record in records):
        return
    reasons = {record.reason: record.path for record in records[::-1] if "frozen" not in record.reason}
    if reasons:
        each = "; ".join(f"{path!r}: {reason}" for reason, path in reasons.items())
        raise ModelError(f"none of {len(layers)} BN layers could be calibrated, and all is as it was. {each}")
