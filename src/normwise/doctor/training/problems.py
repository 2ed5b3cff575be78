"""Problems in an observed step of a training."""

import torch

from normwise.doctor.training import layer_buffers
from normwise.doctor.training.observed_step import LayerCall, ObservedStep
from normwise.doctor.training.problem import Problem

#: Least distance of the means of two passes for different data: in standard deviations, and in multiples of
#: the noise of their means.
_FAR, _TIMES_NOISE = 0.5, 4.0


def one_value(path: str, kind: str) -> Problem:
    """Return the problem of a layer that gets one value per channel."""
    return Problem(
        "BN501",
        (path,),
        kind,
        "it gets one value per channel, which has no variance, so that training fails or learns nothing from it",
        "pass drop_last=True to the DataLoader if the last batch is that small; else use larger batches, or "
        "normwise.freeze this layer",
    )


def problems_in(step: ObservedStep, *, of_optimizer: bool) -> list[Problem]:
    """Return the problems in a step.

    Args:
        step: Observed step.
        of_optimizer: Whether it is one step of the optimiser, in which each layer should be called once.
    """
    found = [
        _found("BN203", layer_buffers.broken(step.layers), step, _BROKEN, _CALIBRATE),
        _found("BN303", step.moved(), step, _UNFROZEN, "normwise.freeze(part of the model that is frozen)"),
        _recomputed(step),
        *(_repeated(step) if of_optimizer else ()),
    ]
    return [problem for problem in found if problem is not None]


_BROKEN = (
    "its running statistics are not finite, or a variance is negative, so that evaluation gives NaN from now on: no "
    "later batch corrects them"
)
_CALIBRATE = "find the batch that is not finite and leave it out, then normwise.calibrate(model, loader)"
_UNFROZEN = "its parameters are not trained, but its running statistics move, so that a frozen part changes"


def _found(code: str, paths: list[str], step: ObservedStep, message: str, fix: str) -> Problem | None:
    if not paths:
        return None
    order = {path: number for number, path in enumerate(step.calls)}
    first = sorted(paths, key=lambda path: order.get(path, len(order)))
    return Problem(code, tuple(first), type(step.layers[first[0]]).__name__, message, fix)


def _recomputed(step: ObservedStep) -> Problem | None:
    paths = [
        path
        for path, calls in step.calls.items()
        if any(call.in_backward for call in calls) and step.updates(path) > len(_forward(calls))
    ]
    return _found(
        "BN505",
        paths,
        step,
        "a backward pass calls it again, as activation checkpointing does, and updates its running statistics twice "
        "a step",
        'convert the layers to normwise\'s: model, _ = normwise.convert(model, "batch"); '
        "or set layer.momentum = 1 - (1 - layer.momentum) ** 0.5 in those that are recomputed",
    )


def _repeated(step: ObservedStep) -> list[Problem | None]:
    mixed, accumulated, most = [], [], 0
    forward = {path: calls for path, each in step.calls.items() if (calls := _forward(each))}
    #: A layer that one pass calls several times is called more often than others.
    passes = min(map(len, forward.values()), default=0)
    for path, calls in forward.items():
        backwards = len({call.backwards for call in calls})
        if len(calls) < 2 or (backwards < 2 and passes < 2) or step.updates(path) < 2:
            continue
        if _differ(calls):
            mixed.append(path)
        elif backwards > 1:
            accumulated.append(path)
            most = max(most, backwards)
    if not forward and len(set(step.passes)) > 1:
        # Compiled layers call no hooks, but count.
        accumulated = [path for path in step.layers if step.updates(path) > 1]
        most = len(set(step.passes))
    return [
        _found(
            "BN506",
            mixed,
            step,
            "one step of the optimiser calls it on data of different means, so that its running statistics are a "
            "mixture that fits no pass",
            "join the inputs in one pass: model(torch.cat([first, second])), or use a separate layer for each",
        ),
        _found(
            "BN504",
            accumulated,
            step,
            f"gradients of {most} micro-batches are accumulated: each is normalised by itself, and updates the "
            "running statistics",
            "train within normwise.accumulate(model, optimizer=optimizer): then each step updates them once, as its "
            "whole batch would",
        ),
    ]


def _forward(calls: list[LayerCall]) -> list[LayerCall]:
    return [call for call in calls if not call.in_backward]


def _differ(calls: list[LayerCall]) -> bool:
    """Return whether the means of calls differ by more than the noise of their samples."""
    first = calls[0]
    distances = [
        ((call.mean - first.mean) / first.deviation.clamp_min(1e-12)).square().mean().sqrt()
        for call in calls[1:]
    ]
    noise = (2 / min(call.samples for call in calls)) ** 0.5
    return bool(torch.stack(distances).amax() > max(_FAR, _TIMES_NOISE * noise))
