"""Statistics of BN layers during training."""

import operator
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from torch import nn

from normwise.errors import ArgumentError
from normwise.layers import batch_norms
from normwise.records import Environment, Recording, WatchedLayer
from normwise.statistics.watch.recorder import Recorder
from normwise.statistics.watch.sinks import sink_for


def watch(
    model: nn.Module,
    *,
    every: int = 200,
    units: int | Mapping[str, Sequence[int]] = 3,
    to: str | os.PathLike[str] | Any = None,
) -> Recorder:
    """Record statistics of a model's BN layers during training, at regular steps.

    A step is a forward pass of ``model`` in training mode; evaluation is not recorded. For each layer (torch's or
    ours, also subclasses, synchronised and frozen layers) a record has: mean and variance of the batch, and the
    running ones before their update; their distance, in running σ and as the logarithm of a ratio; the noise of
    both, which is their scatter from batch to batch; γ and β; norms of gradients; and the 15th, 50th and 85th
    percentile of some channels. See :class:`normwise.records.LayerPoint` for the equations. If the shift is no
    larger than the noise, the running mean is as good as it can be; if it is many times as large, evaluation
    computes with other numbers than training.

    Moments and noise are computed in float64, over the real positions only if a layer of ours gets a mask, and over
    this process's part of the batch, also for a synchronised layer, which normalises by the union of all parts. For
    a ghost layer they are over the whole batch, which updates its running statistics, not over each virtual batch.
    If a step calls a layer several times, its first call is recorded. For a subclass with its own forward, the
    tensors that it passes to ``batch_norm`` are recorded, not its inputs.

    Watching does not change the model's numbers, bit for bit, or the random state. Between records one hook counts
    passes. All hooks are removed when the block ends, also by an exception, or, without a block, by ``close()``; the
    records stay. Watches can be nested.

    Gradients are those of the backward pass between a step and the next one, unchanged: a scaled loss scales them.
    Compiled code calls no hooks, so it runs eagerly in recorded steps, where the last digits may differ. Watch the
    model that ``torch.compile`` returned, not the original one; call ``model.compile()``, which compiles in place,
    before the watch. Passes inside other compiled code, layers that are called without a pass of ``model``, and
    batch normalization by a function are not recorded.

    Args:
        model: Model with BN layers.
        every: Interval of the records, in steps; the first step is recorded. With the default, recording takes less
            than 5 % of the time of a training with steps of half a millisecond, and far less of any other. In a
            file, a record takes about 1.4 kB per layer.
        units: Channels whose percentiles are recorded: a number of evenly spaced channels of each layer, or
            channels by the path of the layer.
        to: Destination that new records are also written to. A folder without a recording gets ``recording.json``
            and ``metrics.jsonl``, one line per record, for ``normwise report FOLDER``; a
            ``torch.utils.tensorboard.SummaryWriter`` gets scalars ``bn/<path>/<quantity>``.

    Returns:
        A :class:`Recorder`, which has started: ``points`` so far, and ``record`` for
        :func:`normwise.report.recording_page`. It ends with its ``with`` block, or by ``close()``.

    Raises:
        ArgumentError: the model has no BN, or an argument is invalid.
        RunError: the folder has a recording already, or can't be written to.

    References:
        Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167, figure 1, for the percentiles.

    Example:
        >>> import torch, normwise
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8))
        >>> with normwise.watch(model, every=2) as recording:
        ...     for _ in range(4):
        ...         model(torch.randn(16, 4)).square().sum().backward()
        >>> [point.step for point in recording.points]
        [0, 2]
        >>> recording.points[1].layers["1"].samples
        16
    """
    recorder = begin_watch(model, every=every, units=units, to=to)
    recorder.follow_passes()
    return recorder


def begin_watch(
    model: nn.Module,
    *,
    every: int,
    units: int | Mapping[str, Sequence[int]],
    to: str | os.PathLike[str] | Any,
) -> Recorder:
    """Begin a watch that is told of passes by its caller.

    Raises:
        ArgumentError, RunError: as :func:`watch` does.
    """
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        raise ArgumentError(f"expected a number of steps from 1 on as every, got {every!r}")
    # Layers within a recurrence have statistics for each of hundreds of steps: no page could show them.
    kinds = {path: kind for path, kind in batch_norms(model).items() if not kind.traits.several_slots}
    if not kinds:
        raise ArgumentError(
            f"{type(model).__name__} has no batch normalization layer to watch; calls of a function are not seen"
        )
    watched = tuple(
        WatchedLayer(path, type(kind.layer).__name__, kind.channels) for path, kind in kinds.items()
    )
    channels = _channels(watched, units)
    begun = datetime.now(timezone.utc).isoformat(timespec="seconds")
    head = Recording(begun, every, watched, Environment.here())
    layers = {path: kind.layer for path, kind in kinds.items()}
    return Recorder(model, layers, channels, head, sink_for(to, head))


def _channels(
    layers: tuple[WatchedLayer, ...], units: int | Mapping[str, Sequence[int]]
) -> dict[str, tuple[int, ...]]:
    """Return the channels of each layer whose percentiles are recorded."""
    if isinstance(units, Mapping):
        chosen: dict[str, tuple[int, ...]] = dict.fromkeys((layer.path for layer in layers), ())
        for path, channels in units.items():
            width = next((layer.channels for layer in layers if layer.path == path), None)
            if width is None:
                known = ", ".join(repr(layer.path) for layer in layers)
                raise ArgumentError(
                    f"units names {path!r}, which is not a BN layer of the model; those are {known}"
                )
            chosen[path] = _numbers(path, channels, width)
        return chosen
    if not isinstance(units, int) or isinstance(units, bool) or units < 0:
        raise ArgumentError(f"expected a number of units from 0 on, or channels by path, got {units!r}")
    return {layer.path: _evenly(layer.channels, units) for layer in layers}


def _numbers(path: str, channels: Sequence[int], width: int) -> tuple[int, ...]:
    """Return the channels, which may also be integers of NumPy or of a tensor."""
    if width == 0:
        raise ArgumentError(
            f"units: {path!r} is lazy and has no channels yet; call the model on a batch first"
        )
    try:
        numbers = tuple(operator.index(channel) for channel in channels)
    except TypeError:
        raise ArgumentError(
            f"units: expected channels of {path!r} such as [0, 2], got {channels!r}"
        ) from None
    wrong = [number for number in numbers if not 0 <= number < width]
    if wrong:
        raise ArgumentError(f"units: {path!r} has the channels 0 to {width - 1}, got {wrong[0]}")
    return numbers


def _evenly(width: int, wanted: int) -> tuple[int, ...]:
    """Return ``wanted`` channels from 0 to width - 1, or all, in the middles of equal parts."""
    wanted = min(wanted, width)
    return tuple((2 * i + 1) * width // (2 * wanted) for i in range(wanted))
