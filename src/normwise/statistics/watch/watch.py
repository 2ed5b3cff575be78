"""Statistics of BN layers during training."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from normwise.errors import ArgumentError
from normwise.layers import batch_norms
from normwise.recordings.begin_recording import begin_recording
from normwise.recordings.chosen_channels import chosen_channels
from normwise.recordings.sinks import sink_for
from normwise.records import WatchedLayer
from normwise.statistics.watch.layer_hooks import LayerHooks
from normwise.statistics.watch.recorder import Recorder
from normwise.statistics.watch.schedule import schedule_of


def watch(
    model: nn.Module,
    *,
    every: int | None = None,
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
        every: Interval of the records, in steps; the first step is recorded. By default the steps 0, 1, 2, 4, 8 … 128
            are, and then every 200th: a short training has records as well, and a long one eight more. At this
            interval, recording takes less than 5 % of the time of a training with steps of half a millisecond, and
            far less of any other. In a file, a record takes about 1.4 kB per layer.
        units: Channels whose percentiles are recorded: a number of evenly spaced channels of each layer, or
            channels by the path of the layer.
        to: Destination that new records are also written to. A folder without a recording gets ``recording.json``
            and ``metrics.jsonl``, one line per record, for ``normwise report FOLDER``; a
            ``torch.utils.tensorboard.SummaryWriter`` gets scalars ``bn/<path>/<quantity>``.

    Returns:
        A :class:`Recorder`, which has started: ``points`` so far, ``record`` for
        :func:`normwise.report.recording_page`, and ``to_rows()`` for a table. It ends with its ``with`` block, or by
        ``close()``.

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
    every: int | None,
    units: int | Mapping[str, Sequence[int]],
    to: str | os.PathLike[str] | Any,
) -> Recorder:
    """Begin a watch that is told of passes by its caller.

    Raises:
        ArgumentError, RunError: as :func:`watch` does.
    """
    # Layers within a recurrence have statistics for each of hundreds of steps: no page could show them.
    kinds = {path: kind for path, kind in batch_norms(model).items() if not kind.traits.several_slots}
    if not kinds:
        raise ArgumentError(
            f"{type(model).__name__} has no batch normalization layer to watch; calls of a function are not seen"
        )
    watched = tuple(
        WatchedLayer(path, type(kind.layer).__name__, kind.channels) for path, kind in kinds.items()
    )
    schedule = schedule_of(every)
    head = begin_recording(watched, schedule.every)
    channels = chosen_channels(watched, units)
    sink = sink_for(to, head)
    hooks = LayerHooks(model, {path: kind.layer for path, kind in kinds.items()}, channels)
    return Recorder(model, hooks, head, schedule, sink)
