"""Exact running statistics from data."""

from collections.abc import Iterator
from typing import Any, get_args

from torch import nn
from torch.distributed import ProcessGroup
from torch.nn.parameter import is_lazy

from normwise.errors import ArgumentError
from normwise.find import find, is_foreign_frozen
from normwise.nn.frozen import is_frozen
from normwise.nn.recurrent import StepBatchNorm
from normwise.records import Calibration, LayerCalibration, Order, VarianceKind
from normwise.statistics.batches import Data, batches_of
from normwise.statistics.passes import Passes, Progress
from normwise.statistics.place import Place, places_of
from normwise.statistics.untouched import untouched


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

    Only running means and variances change: counters, momentum, modes, hooks and the random state are as they were,
    and if anything raises, so are the statistics. Every pass begins with the same random state, so that a loader that
    shuffles or augments gives the same batches again, if it draws from the global generators. Memory does not grow
    with the number of batches.

    Args:
        model: Any model with BN layers, torch's or ours. A compiled model runs eagerly meanwhile.
        data: Batches, or one; the input of each is moved to the model's device. Read once for each pass.
        order, variance: See above.
        max_batches: Take so many batches of the data and no more.
        include_frozen: Calibrate frozen layers, too (:func:`normwise.freeze`); else they are left alone.
        group: Processes that calibrate copies of the model on data of their own, all at once: their statistics are
            merged, and all have the same ones afterwards.
        progress: Called after each batch.

    Returns:
        What became of each layer. One that is never reached, that sees fewer than two values a channel, or
        that keeps no running statistics is left as it is, and the reason is said.

    Raises:
        ArgumentError: an unknown order or variance; no batches; data that can be read once only and more than one
            pass to make; a layer that has not been initialised.
        ModelError: the model fails on a batch, or gives a layer values that are not finite.

    Example:
        >>> import torch, normwise
        >>> model = torch.nn.Sequential(torch.nn.BatchNorm1d(1))
        >>> report = normwise.calibrate(model, torch.tensor([[1.0], [2.0], [6.0]]))
        >>> model[0].running_mean.item(), model[0].running_var.item(), report.layers[0].count
        (3.0, 7.0, 3)
    """
    _check_choice("order", order, get_args(Order))
    _check_choice("variance", variance, get_args(VarianceKind))
    batches = batches_of(data)
    if order == "evaluation" and isinstance(batches, Iterator):
        raise ArgumentError(
            'order="evaluation" reads the batches several times, and an iterator can be read once; pass a list or a '
            'DataLoader, or order="training"'
        )
    if max_batches is not None and max_batches < 1:
        raise ArgumentError(f"max_batches must be at least 1, got {max_batches}")
    found = {each.path: each.layer for each in find(model) if each.layer is not None}
    left = {
        path: reason for path, layer in found.items() if (reason := _left_out(path, layer, include_frozen))
    }
    layers = {path: layer for path, layer in found.items() if path not in left}
    statistics = [
        layer.get_buffer(name) for layer in layers.values() for name in ("running_mean", "running_var")
    ]
    with untouched(model, but=statistics) as begin:
        passes = Passes(
            model, batches, layers, variance, max_batches=max_batches, group=group, progress=progress
        )
        passes.by_batch()
        if order == "evaluation":
            passes.consistently(begin)
        if passes.batches_read == 0:
            raise ArgumentError("the data have no batches, so nothing was calibrated")
        extended = {
            path: _extend(layer, path, passes)
            for path, layer in layers.items()
            if isinstance(layer, StepBatchNorm)
        }
    return Calibration(
        tuple(
            record
            for path, layer in found.items()
            for record in (
                [LayerCalibration(path, type(layer).__name__, False, left[path])]
                if path in left
                else _records(path, layer, passes, variance, extended.get(path))
            )
        ),
        order,
        variance,
        passes.batches_read,
        passes.number,
        passes.residual,
    )


def _check_choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ArgumentError(f"unknown {name} {value!r}; known are {', '.join(map(repr, known))}")


def _left_out(path: str, layer: nn.Module, include_frozen: bool) -> str:
    buffers = layer._buffers
    if any(is_lazy(value) for value in buffers.values() if value is not None):
        raise ArgumentError(
            f"{type(layer).__name__} {path!r} has not been initialised: call the model once, so that it knows its "
            "channels"
        )
    if buffers.get("running_mean") is None or buffers.get("running_var") is None:
        return "it keeps no running statistics (track_running_stats=False)"
    if not include_frozen and (is_frozen(layer) or is_foreign_frozen(layer)):
        return "it is frozen (include_frozen=True calibrates it, too)"
    return ""


def _extend(layer: StepBatchNorm, path: str, passes: Passes) -> int | None:
    """Give steps that neither the data nor training reach the statistics of the last that was; the first of them."""
    counts = [passes.seen[place.path].together.count for place in places_of(path, layer)]
    reached = max((step + 1 for step, count in enumerate(counts) if count > 1), default=0)
    return reached if layer.extend(reached) else None


def _records(
    path: str, layer: nn.Module, passes: Passes, kind: VarianceKind, extended: int | None
) -> Iterator[LayerCalibration]:
    """What became of a layer, or of each time step of one that has statistics for each."""
    for step, place in enumerate(places_of(path, layer)):
        if extended is not None and step >= extended:
            reason = f"the data never reach it, and it has got the statistics of step {extended - 1}"
            yield LayerCalibration(place.path, type(layer).__name__, False, reason)
        else:
            yield _record(place, passes, kind)


def _record(place: Place, passes: Passes, kind: VarianceKind) -> LayerCalibration:
    seen, before, name = passes.seen[place.path], passes.before[place.path], type(place.layer).__name__
    if seen.together.count == 0:
        return LayerCalibration(place.path, name, False, "the data never reach it")
    if seen.lacks(kind):
        few = "in any batch " if kind == "batch" else ""
        return LayerCalibration(
            place.path, name, False, f"it sees fewer than two values a channel {few}".strip()
        )
    variance = seen.variance(kind)
    old_mean, old_variance = (old.to(variance) for old in before)
    deviation = (variance + getattr(place.layer, "eps", 1e-5)).sqrt()
    shift = (old_mean - seen.together.mean).abs() / deviation
    ratio = (old_variance + getattr(place.layer, "eps", 1e-5)) / deviation.square()
    return LayerCalibration(
        place.path,
        name,
        True,
        "",
        seen.together.count,
        shift.max().item(),
        shift.median().item(),
        ratio.min().item(),
        ratio.max().item(),
    )
