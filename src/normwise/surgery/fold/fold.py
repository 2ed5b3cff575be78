"""Folding of BN into the convolution or linear layer next to it, proven on an example."""

import math
from collections.abc import Mapping, Sequence

from torch import nn

from normwise.errors import ArgumentError
from normwise.layers import batch_norms, is_batch_norm_call, kind_of
from normwise.records import Folding
from normwise.statistics import Batch
from normwise.surgery.core.decision import Decision, LeftError
from normwise.surgery.core.example_arguments import Arguments
from normwise.surgery.core.exchange_module import exchange_module
from normwise.surgery.core.operation import operation
from normwise.surgery.fold.candidates import Candidates
from normwise.surgery.fold.leftover_activation import described, leftover_activation
from normwise.surgery.fold.new_weights import fold_into_layer_after, fold_into_layer_before
from normwise.surgery.fold.obstacles import NoCandidateError
from normwise.surgery.graph.model_graph import model_graph
from normwise.surgery.proof.scales_outputs import scales_outputs
from normwise.surgery.proof.speedup import speedup


def fold(
    model: nn.Module,
    example: Batch,
    *,
    tolerance: float | None = None,
    inplace: bool = False,
    timed: bool = True,
) -> tuple[nn.Module, Folding]:
    r"""Fold BN layers into the convolutions and linear layers next to them, for evaluation.

    In evaluation a BN layer scales and shifts each channel, which can be merged into the weights next to it:

    .. math::

        s (W x + b) + t = (s W) x + (s b + t), \qquad W (s x + t) + b = (W s) x + (W t + b),
        \qquad s = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}, \; t = \beta - s \mu

    If values flow from a ``Conv1d`` to ``3d``, ``ConvTranspose1d`` to ``3d`` or ``Linear`` only into a BN layer,
    the first layer gets new parameters, and the BN layer is replaced by ``Identity``, or for our layers by a module
    with the remaining activation, residual and mask. If there is no such layer before it, a layer after it can be
    used, provided that it has no padding, or padding that is not zeros, or the shift is zero. ``torch.fx`` follows
    the values. BN layers that it can't follow are left unchanged, and so are those that other untraceable code may
    use alone for other inputs. The report has each unchanged layer with the reason. An example with a single value,
    such as zeros, proves little: then outputs are also compared on random numbers.

    The model keeps its class and its ``state_dict``, except for the folded layers and new biases. It is for
    evaluation only: folded layers no longer normalise by the batch.

    Args:
        model: Model in evaluation mode, with BN layers of torch, ours, frozen or synchronised.
        example: One batch: the input, a tuple or list whose first item is the input, or a dict of keyword
            arguments; keys that forward has no argument for, such as ``labels``, are left out.
        tolerance: Largest difference of the outputs, relative to the largest output; by default half the digits of
            the model's dtype, such as 3e-4 for float32. If the model computes with fewer digits, as under autocast
            or with TF32, this applies to both models in float64; in their own dtype they may differ by rounding.
        inplace: Change the model itself instead of a copy.
        timed: Measure the speed-up, in about a second.

    Returns:
        The model, and a report on each of its BN layers.

    Raises:
        ModelError: the model fails on the example, or outputs differ by more than the tolerance. The model is
            unchanged.
        ArgumentError: the tolerance is not a positive number.

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
    with operation(model, example, inplace=inplace) as running:
        old, new = running.old, running.new
        running.decisions = _fold_all(new, running.arguments)
        error, allowed = running.compare_outputs(
            tolerance,
            fails="the outputs can't be compared on the example: {error}; nothing is changed",
            differs="the folded model's outputs differ from the model's by {error:.1e} of the largest, and "
            "{allowed:.1e} is allowed; nothing is changed. Weights may be used in ways that the graph doesn't show, or "
            "be so unequal that rounding shows: try the model in float64, or pass a larger tolerance",
        )
        times = (math.nan,) * 3
        if timed and any(decision.changed for decision in running.decisions):
            times = speedup(old, new, running.arguments)
    return new, Folding(running.changes, error, allowed, *times)


def _fold_all(model: nn.Module, arguments: Arguments) -> list[Decision]:
    """Fold all layers that can be folded, in place, and return the decision on each."""
    graph = model_graph(model, arguments, is_whole=scales_outputs)
    kinds = batch_norms(model)
    layers = {path: kind.layer for path, kind in kinds.items() if kind.traits.foldable}
    decisions = _fold_layers(model, layers, Candidates(model, graph))
    within = [
        Decision(path, type(kind.layer).__name__, False, kind.traits.reason)
        for path, kind in kinds.items()
        if not kind.traits.foldable
    ]
    calls = [
        Decision(
            f"{part.path}.{node.name}".strip("."),
            getattr(node.target, "__name__", str(node.target)),
            False,
            "it is a function, and layers are folded: call a BN layer in its place",
        )
        for part, node in graph.nodes()
        if is_batch_norm_call(node) and not _normalises_batches(part.module)
    ]
    return [*decisions, *within, *calls]


def _normalises_batches(module: nn.Module) -> bool:
    kind = kind_of(module)
    return kind is not None and kind.normalises_batches


def _fold_layers(model: nn.Module, layers: Mapping[str, nn.Module], candidates: Candidates) -> list[Decision]:
    free: list[str] = []
    folded: dict[str, str] = {}
    obstacles: dict[str, list[LeftError]] = {path: [] for path in layers}
    for path, layer in layers.items():
        try:
            candidates.check(path, layer)
            free.append(path)
        except LeftError as left:
            obstacles[path].append(left)
    # In the order of the values, so that several BN layers after one convolution all find it; then in
    # reverse.
    order = {module: number for number, module in enumerate(candidates.nodes)}
    free.sort(key=lambda path: order[layers[path]])
    for find, fold_into, paths in (
        (candidates.before, fold_into_layer_before, free),
        (candidates.after, fold_into_layer_after, free[::-1]),
    ):
        for path in paths:
            if path in folded:
                continue
            try:
                detail = fold_into(find(layers[path]), layers[path])
            except LeftError as left:
                obstacles[path].append(left)
                continue
            leftover = leftover_activation(layers[path], candidates.call_of(layers[path]))
            exchange_module(model, layers[path], leftover)
            stays = "" if type(leftover) is nn.Identity else f"; {described(leftover)} stays in its place"
            folded[path] = f"{detail}{stays}"
    return [
        Decision(path, type(layer).__name__, path in folded, folded.get(path) or _reason(obstacles[path]))
        for path, layer in layers.items()
    ]


def _reason(obstacles: Sequence[LeftError]) -> str:
    """Return the reason why a layer is left unchanged; if a candidate is next to it, only the obstacle there."""
    of_candidates = [left for left in obstacles if not isinstance(left, NoCandidateError)]
    return "; ".join(str(left) for left in of_candidates or obstacles)
