"""Exact running statistics from data."""

from collections.abc import Iterator
from typing import Any, get_args

from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.nn.parameter import is_lazy

from normwise.errors import ArgumentError
from normwise.find import Found, find, is_foreign_frozen
from normwise.nn.frozen import is_frozen
from normwise.records import Calibration, LayerCalibration, Order, VarianceKind
from normwise.statistics.batches import Data, batches_of
from normwise.statistics.passes import Passes, Progress
from normwise.statistics.seen import Seen
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
    places = [found for found in find(model) if found.layer is not None]
    left = {found.path: reason for found in places if (reason := _left_out(found, include_frozen))}
    layers = {
        found.path: found.layer for found in places if found.layer is not None and found.path not in left
    }
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
    return Calibration(
        tuple(
            LayerCalibration(found.path, found.kind, False, left[found.path])
            if found.path in left
            else _record(found, passes.before[found.path], passes.seen[found.path], variance)
            for found in places
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


def _left_out(found: Found, include_frozen: bool) -> str:
    layer = found.layer
    if layer is not None and any(is_lazy(value) for value in layer._buffers.values() if value is not None):
        raise ArgumentError(
            f"{found.kind} {found.path!r} has not been initialised: call the model once, so that it knows its channels"
        )
    buffers = {} if layer is None else layer._buffers
    if buffers.get("running_mean") is None or buffers.get("running_var") is None:
        return "it keeps no running statistics (track_running_stats=False)"
    if layer is not None and not include_frozen and (is_frozen(layer) or is_foreign_frozen(layer)):
        return "it is frozen (include_frozen=True calibrates it, too)"
    return ""


def _record(found: Found, before: tuple[Tensor, Tensor], seen: Seen, kind: VarianceKind) -> LayerCalibration:
    if seen.together.count == 0:
        return LayerCalibration(found.path, found.kind, False, "the data never reach it")
    if seen.lacks(kind):
        few = "in any batch " if kind == "batch" else ""
        return LayerCalibration(
            found.path, found.kind, False, f"it sees fewer than two values a channel {few}".strip()
        )
    variance = seen.variance(kind)
    old_mean, old_variance = (old.to(variance) for old in before)
    deviation = (variance + getattr(found.layer, "eps", 1e-5)).sqrt()
    shift = (old_mean - seen.together.mean).abs() / deviation
    ratio = (old_variance + getattr(found.layer, "eps", 1e-5)) / deviation.square()
    return LayerCalibration(
        found.path,
        found.kind,
        True,
        "",
        seen.together.count,
        shift.max().item(),
        shift.median().item(),
        ratio.min().item(),
        ratio.max().item(),
    )
