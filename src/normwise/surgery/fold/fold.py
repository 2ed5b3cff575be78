"""BN into the convolution or linear layer beside it, proven equal on an example."""

import math
from dataclasses import replace
from typing import Any

from torch import nn

from normwise.errors import ArgumentError, ModelError
from normwise.layers import batch_norms, is_batch_norm_call, kind_of
from normwise.records import Change, Folding
from normwise.statistics import Batch
from normwise.surgery.core.example_arguments import example_arguments
from normwise.surgery.core.exchange_module import exchange
from normwise.surgery.core.working_copy import workpiece
from normwise.surgery.fold.candidates import Miss, Sites
from normwise.surgery.fold.leftover_activation import remainder
from normwise.surgery.fold.new_weights import give_inputs_to, give_outputs_to
from normwise.surgery.graph.model_graph import Flow, flow
from normwise.surgery.proof.compare import rounding
from normwise.surgery.proof.on_example import output_difference
from normwise.surgery.proof.speedup import speedup


def fold(
    model: nn.Module,
    example: Batch,
    *,
    tolerance: float | None = None,
    inplace: bool = False,
    timed: bool = True,
) -> tuple[nn.Module, Folding]:
    r"""Let convolutions and linear layers do, for evaluation, what the BN layers beside them do.

    In evaluation a BN layer scales and shifts each channel, which a layer of weights can do on its own:

    .. math::

        s (W x + b) + t = (s W) x + (s b + t), \qquad W (s x + t) + b = (W s) x + (W t + b),
        \qquad s = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}, \; t = \beta - s \mu

    Where values flow from a ``Conv1d`` to ``3d``, ``ConvTranspose1d`` to ``3d`` or ``Linear`` into a BN layer and
    nowhere else, the first gets new parameters and the second's place is taken by ``Identity``, or by what else a
    layer of ours was called for: its activation, residual and mask. Where there is no such layer before it, one
    behind it will do, if its padding is none, or is not zeros, or the shift is zero. ``torch.fx`` follows the values;
    where it can't, BN layers are left, and so are those that code which it can't follow may use alone for other inputs.
    Each that is left is in the report with the reason. An example of one value, such as zeros, proves little: then
    outputs are compared on random numbers, too.

    The model keeps its class and, but for the folded layers and biases that came in, its ``state_dict``. It is one
    for evaluation: nothing normalises by batch any more where BN was folded.

    Args:
        model: Any model, with torch's BN layers, ours, frozen or synchronised ones, in evaluation.
        example: One batch: the input; a tuple or list whose first item is the input; a dict of keywords.
        tolerance: Largest difference of the outputs, relative to the largest; by default half the digits of the
            model's type, such as 3e-4 for float32.
        inplace: Change the model itself instead of a copy.
        timed: Measure how much faster it became, in about a second.

    Returns:
        The model, and what became of each of its BN layers.

    Raises:
        ModelError: the model fails on the example, or outputs differ by more than the tolerance. Then the model
            is as it was.
        ArgumentError: a tolerance that is no positive number.

    Example:
        >>> import torch, normwise
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, bias=False), torch.nn.BatchNorm2d(8)).eval()
        >>> folded, report = normwise.fold(model, torch.randn(2, 3, 9, 9))
        >>> print(report.changes[0])
        1 (BatchNorm2d): folded into Conv2d '0' before it
        >>> [type(layer).__name__ for layer in folded]
        ['Conv2d', 'Identity']
    """
    if tolerance is not None and not tolerance > 0:
        raise ArgumentError(f"expected a positive number as tolerance, got {tolerance}")
    args, kwargs = example_arguments(example)
    with workpiece(model, inplace, (args, kwargs)) as (old, new):
        allowed = rounding(old) if tolerance is None else tolerance
        changes = _fold_all(new, args, kwargs)
        error = _proven(old, new, args, kwargs, allowed)
        times = (math.nan,) * 3
        if timed and any(change.changed for change in changes):
            times = speedup(old, new, args, kwargs)
    return new, Folding(changes, error, allowed, *times)


def _fold_all(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Change, ...]:
    """Fold what can be folded, in place, and say what became of each place."""
    followed = flow(model, args, kwargs)
    sites = Sites(model, followed)
    kinds = batch_norms(model)
    layers = {path: kind.layer for path, kind in kinds.items() if kind.traits.foldable}
    changes = {
        path: Change(path, type(layer).__name__, False, sites.obstacle(path, layer))
        for path, layer in layers.items()
    }
    misses: dict[str, list[Miss]] = {path: [] for path in layers}
    # As values flow, so that each of several behind a convolution finds it; then the other way round.
    place = {module: number for number, module in enumerate(sites.nodes)}
    free = [path for path, change in changes.items() if not change.detail]
    free.sort(key=lambda path: place[layers[path]])
    for search, take_over, paths in (
        (sites.before, give_outputs_to, free),
        (sites.behind, give_inputs_to, free[::-1]),
    ):
        for path in paths:
            if changes[path].changed:
                continue
            found = search(layers[path])
            said = found if isinstance(found, Miss) else take_over(found, layers[path])
            if isinstance(said, Miss):
                misses[path].append(said)
                continue
            rest = remainder(layers[path], sites.call_of(layers[path]))
            exchange(model, layers[path], rest)
            detail = said if type(rest) is nn.Identity else f"{said}; {rest} stays in its place"
            changes[path] = replace(changes[path], changed=True, detail=detail)
    for path in free:
        if not changes[path].changed:
            # If a convolution or linear layer is beside it, what keeps that from it is the reason.
            telling = [miss for miss in misses[path] if miss.near] or misses[path]
            changes[path] = replace(changes[path], detail="; ".join(miss.reason for miss in telling))
    within = [
        Change(path, type(kind.layer).__name__, False, kind.traits.reason)
        for path, kind in kinds.items()
        if not kind.traits.foldable
    ]
    return (*changes.values(), *within, *_calls(followed))


def _calls(followed: Flow) -> list[Change]:
    changes = []
    for part, node in followed.nodes():
        around = kind_of(part.module)
        if is_batch_norm_call(node) and not (around is not None and around.normalises_batches):
            path = f"{part.path}.{node.name}".strip(".")
            reason = "it is a function, and layers are folded: call a BN layer in its place"
            changes.append(Change(path, getattr(node.target, "__name__", str(node.target)), False, reason))
    return changes


def _proven(
    old: nn.Module, new: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], allowed: float
) -> float:
    try:
        error = output_difference(old, new, args, kwargs)
    except ModelError:
        raise
    except Exception as failure:
        raise ModelError(
            f"the outputs can't be compared on the example: {failure}; nothing is changed"
        ) from failure
    if math.isnan(error):
        raise ModelError(
            "the model's output has no numbers on the example, so that nothing can be proven of it"
        )
    if not error <= allowed:
        raise ModelError(
            f"the folded model's outputs differ from the model's by {error:.1e} of the largest, and {allowed:.1e} is "
            "allowed; nothing is changed. Weights may be used in ways that the graph doesn't show, or be so unequal "
            "that rounding shows: try the model in float64, or pass a larger tolerance"
        )
    return error
