"""Exact running statistics from data."""

import operator
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, get_args

from torch import nn
from torch.distributed import ProcessGroup

from normwise.errors import ArgumentError, ModelError
from normwise.layers import StatisticsSlot, kind_of_norm, slots_of
from normwise.records import Calibration, LayerCalibration, Order, VarianceKind
from normwise.statistics.calibrate.compared import compared
from normwise.statistics.calibrate.one_pass import Reader
from normwise.statistics.calibrate.own_memory import check_own_memory
from normwise.statistics.calibrate.passes import Passes, Progress
from normwise.statistics.calibrate.repeated_batches import Repeated
from normwise.statistics.calibrate.selection import layers_of, reason_to_leave
from normwise.statistics.model_inputs import Data, batches_of
from normwise.statistics.preserve.preserve_model import evaluated


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
    would converge to (``torch.optim.swa_utils.update_bn``). With large, shuffled batches both agree nearly.

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
    _check_most(max_batches)
    found = layers_of(model)
    left = {
        path: reason
        for path, layer in found.items()
        if (reason := reason_to_leave(path, layer, include_frozen))
    }
    layers = {path: layer for path, layer in found.items() if path not in left}
    check_own_memory(layers)
    reader = Reader(model, Repeated(batches, max_batches), layers)
    passes = Passes(reader, variance, group=group, progress=progress)
    with evaluated(model, data=batches) as begin:
        if layers:
            passes.by_batch()
            if order == "evaluation":
                passes.consistently(begin)
            if passes.batches_read == 0:
                raise ArgumentError("the data have no batches, so nothing was calibrated")
    records = {
        path: [LayerCalibration(path, type(layer).__name__, False, left[path])]
        if path in left
        else [_record(place, passes, variance) for place in slots_of(path, layer)]
        for path, layer in found.items()
    }
    if not any(record.calibrated for several in records.values() for record in several):
        _check_frozen(found, records)
    with _all_or_nothing(passes):
        for path, place in reader.places.items():
            place.put(*reader.statistics[path])
        for path, layer in layers.items():
            if kind_of_norm(layer).traits.several_slots:
                records[path] = _extended(layer, records[path])
    return Calibration(
        tuple(record for several in records.values() for record in several),
        order,
        variance,
        passes.batches_read,
        passes.number,
        passes.residual,
        tuple(reader.dropped),
        reader.batches.varied,
    )


def _check_choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in known:
        raise ArgumentError(f"unknown {name} {value!r}; known are {', '.join(map(repr, known))}")


def _check_most(most: Any) -> None:
    if most is None:
        return
    try:
        number = operator.index(most)
    except TypeError:
        number = 0
    if number < 1 or isinstance(most, bool):
        raise ArgumentError(f"max_batches must be a whole number, at least 1, got {most!r}")


def _check_frozen(found: Mapping[str, nn.Module], records: Mapping[str, list[LayerCalibration]]) -> None:
    """Raise unless all layers are frozen, which is why none was calibrated."""
    reasons: dict[str, str] = {}
    for path, layer in found.items():
        if not kind_of_norm(layer).frozen:
            reasons.setdefault(records[path][0].reason, path)
    if reasons:
        each = "; ".join(f"{path!r}: {reason}" for reason, path in reasons.items())
        raise ModelError(f"none of {len(found)} BN layers could be calibrated, and all is as it was. {each}")


@contextmanager
def _all_or_nothing(passes: Passes) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for path, place in passes.reader.places.items():
            place.put(*passes.before[path])
        raise


def _extended(layer: Any, records: list[LayerCalibration]) -> list[LayerCalibration]:
    """Give steps that neither the data nor training reach the statistics of the last that was, and say so."""
    reached = max((step + 1 for step, record in enumerate(records) if record.count > 1), default=0)
    if not layer.extend(reached):
        return records
    reason = f"the data never reach it, and it has got the statistics of step {reached - 1}"
    return records[:reached] + [replace(record, reason=reason) for record in records[reached:]]


def _record(place: StatisticsSlot, passes: Passes, kind: VarianceKind) -> LayerCalibration:
    seen, name, at = passes.seen[place.path], type(place.layer).__name__, place.layer_path
    if seen.together.count == 0:
        reason = "its forward pass does not use its running statistics" if at in passes.reader.idle else ""
        reason = passes.reader.reasons.get(at, reason) or "the data never reach it"
        return LayerCalibration(place.path, name, False, reason)
    if seen.lacks(kind):
        few = "in any batch " if kind == "batch" else ""
        reason = f"it sees fewer than two values a channel {few}".strip()
        return LayerCalibration(place.path, name, False, reason, seen.together.count)
    record = LayerCalibration(place.path, name, True, "", seen.together.count)
    eps = getattr(place.layer, "eps", 1e-5)
    return compared(record, passes.before[place.path], seen.together.mean, seen.variance(kind), eps)
