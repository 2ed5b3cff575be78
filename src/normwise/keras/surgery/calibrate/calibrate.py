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
    r"""Replace the moving statistics, in place, by those of the data, added up in float64.

    The settings are those of :func:`normwise.calibrate`, which says more about them.

    **Order.** ``"evaluation"``: each layer has the statistics of its inputs as evaluation will show them, normalised
    by the final statistics of the layers before it. How the data are cut into batches does not matter. That takes a
    pass over the data for each layer, as far as that layer. ``"training"``: each layer sees its inputs as training
    shows them, normalised by the statistics of their own batch, in a single pass.

    **Variance.** ``"population"``: of all values together, :math:`\frac{1}{n}\sum (x - \mu)^2`, as Keras keeps it.
    ``"batch"``: the average of the batches' own, :math:`\sum_b \sum (x - \mu_b)^2 / \sum_b n_b`. A layer with
    ``unbiased_moving_variance`` gets Bessel's correction: :math:`n - 1`, and :math:`\sum_b (n_b - 1)`.

    Positions that a mask excludes take no part. Renorm layers normalise by the whole batch meanwhile, as plain BN does,
    and so do those with ``virtual_batch_size``; all statistics of a renorm layer become those of the data, so that
    training goes on from them. The number of batches so far, which a layer with ``momentum=None`` keeps, stays. Nothing
    else changes: other variables, trainable flags, the optimiser, metrics, and the random state of Python, NumPy and
    torch; and if anything raises, the statistics are as they were, too. Every pass begins with the same random state,
    so that a loader that shuffles by it gives the same batches again; where the data differ all the same, the report
    says so. The model runs eagerly, and needs no ``compile``.

    Args:
        model: Any built model with BN layers, Keras's or ours: functional, sequential, nested or subclassed.
        data: What ``fit`` takes: an array or ``(x, y)``, cut into batches of ``batch_size``; dictionaries or lists of
            arrays for several inputs; a ``tf.data.Dataset``, ``keras.utils.PyDataset``, ``DataLoader`` or list of
            batches; or a function that gives batches, such as a generator function. Of a batch that is a tuple or list
            the first item is the input.
        order, variance: See above.
        max_batches: Take so many batches of the data and no more.
        batch_size: How many samples of an array are a batch.
        include_frozen: Calibrate layers with ``trainable=False`` or ``frozen_statistics``, too; else they are left.

    Returns:
        What became of each layer, and how far off its old statistics were. A layer that the data never reach, that sees
        fewer than two values a channel, or whose values can't be seen is left as it is, and the reason is said.

    Raises:
        ArgumentError: an unknown order or variance; no batches; data that can be read once only and more than one
            pass to make; a model that was not built.
        ModelError: there is no BN layer, or none could be calibrated though not all are frozen; the model fails on a
            batch, or gives a layer values that are not finite.
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
    """Write the new statistics of a layer, or the old ones again, and return its record."""
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
    """Raise unless a layer was calibrated, or all are frozen."""
    if any(record.calibrated for record in records):
        return
    reasons = {record.reason: record.path for record in records[::-1] if "frozen" not in record.reason}
    if reasons:
        each = "; ".join(f"{path!r}: {reason}" for reason, path in reasons.items())
        raise ModelError(f"none of {len(layers)} BN layers could be calibrated, and all is as it was. {each}")
