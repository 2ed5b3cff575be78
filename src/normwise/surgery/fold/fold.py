"""BN into the convolution or linear layer beside it, proven equal on an example."""

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
            model's type, such as 3e-4 for float32. Where it computes with fewer digits, as under autocast or with
            TF32, that holds for the two models in float64, and as they are they may differ by what rounding does.
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
    """Fold what can be folded, in place, and return the decision on each place."""
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
    # As values flow, so that each of several behind a convolution finds it; then the other way round.
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
    """Return the reason why a layer is left: where a candidate is next to it, only what keeps that from it."""
    of_candidates = [left for left in obstacles if not isinstance(left, NoCandidateError)]
    return "; ".join(str(left) for left in of_candidates or obstacles)
