"""Insertion of BN into a model that has none."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

from torch import nn
from torch.optim import Optimizer

from normwise.errors import ModelError, ShapeError
from normwise.records import Insertion
from normwise.statistics import Batch, Data, Moments
from normwise.statistics.preserve.preserve_model import unchanged
from normwise.surgery.core.check_model import check_model
from normwise.surgery.core.decision import Decision, decide
from normwise.surgery.core.example_arguments import Arguments, example_arguments
from normwise.surgery.core.operation import Operation, operation
from normwise.surgery.core.shadow_copy import shadow_copy
from normwise.surgery.insert.consumers import consumers
from normwise.surgery.insert.new_norm import insert_norm, weight_of
from normwise.surgery.insert.output_moments import output_moments
from normwise.surgery.insert.positions import Position, Positions
from normwise.surgery.proof.compare import output_error
from normwise.surgery.remove_biases import take_biases


def insert(
    model: nn.Module,
    example: Batch,
    *,
    after_activation: bool = False,
    data: Data | None = None,
    optimizer: Optimizer | None = None,
    inplace: bool = False,
) -> tuple[nn.Module, Insertion]:
    r"""Insert a BN layer after each convolution and linear layer, and drop the biases that it cancels.

    In a ``Sequential`` the norm of ``0`` is the next entry, ``0_norm``: names stay the same, and the index of later
    entries grows by one. Elsewhere a pair replaces the layer ``conv``: ``conv.layer`` and ``conv.norm``. In both
    cases an old ``state_dict`` can be loaded with ``strict=False``, the model can be copied, pickled and compiled,
    and :func:`normwise.fold` removes the norms again. With ``data``, the model computes the same function in
    evaluation: statistics are those of one pass over the data, and

    .. math::

        \gamma = \sqrt{\sigma^2 + \epsilon}, \quad \beta = \mu
        \qquad \Rightarrow \qquad \gamma \, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta = x

    which is verified on the example. Without ``data``, the norms are new layers; with batch statistics their
    outputs are not those that the weights were trained for, and the report says how far they move.

    A layer gets no norm, and the report says why, if its output is the model's, if a norm follows before the next
    layer, in attention and recurrent cells, if it is called several times, or if channels are not on axis 1, as
    with ``Linear`` on three axes. The consumers of outputs are observed on the example, however the code is
    written.

    Args:
        model: Model in any mode.
        example: One batch: the input, a tuple or list whose first item is the input, or a dict of keyword
            arguments; keys that forward has no argument for, such as ``labels``, are left out.
        after_activation: Insert the norm after the activation instead, which must be a module that is called once,
            directly after the layer. Biases stay, since nothing cancels them.
        data: One or several batches, to keep the model's function.
        optimizer: Optimiser of the model, which trains the new model from now on. γ and β join the group of the
            layer's weight, and removed biases leave theirs. If it has named parameters, names are the new model's.
        inplace: Change the model itself instead of a copy.

    Returns:
        The model, and a report on each convolution and linear layer.

    Raises:
        ModelError: there is no position for a norm, the model fails on the example or the data, or with ``data``
            outputs differ by more than rounding. Model and optimiser are unchanged.
        ArgumentError: ``data`` have no batches, or fewer than two values per channel at a position.

    Example:
        >>> import torch, normwise
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> x = torch.randn(16, 4)
        >>> new, report = normwise.insert(model, x, data=x)
        >>> print(report.changes[0])
        0 (Linear): BatchNorm1d '0_norm' behind it, its bias removed
        >>> torch.allclose(new.eval()(x), model(x), atol=1e-5)
        True

    References:
        Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167, section 3.2: before the nonlinearity, without biases.
    """
    moments: Mapping[str, Moments] = {}
    if data is not None:
        arguments = example_arguments(model, example)
        check_model(model)
        # Before anything is changed: an exception raised by the data goes to the user unchanged.
        positions = _find(model, arguments, after_activation)[1].values()
        moments = output_moments(model, data, {position.path: position.shape for position in positions})
    with operation(model, example, inplace=inplace, optimizer=optimizer) as running:
        found, by_layer = _find(running.new, running.arguments, after_activation)
        norms = _insert_norms(running, by_layer.values(), moments)
        of_biases: dict[str, Decision] = {}
        if not after_activation:
            decided, biases = take_biases(running.new, running.arguments, set(norms.values()))
            running.removed.update(biases.values())
            of_biases = {decision.path: decision for decision in decided}
        running.decisions = [
            replace(
                decision,
                reason=_detail(decision.path, by_layer[decision.path], running.new, norms, of_biases),
            )
            if decision.changed
            else decision
            for decision in found
        ]
        error, _ = running.compare_outputs(
            math.inf if data is None else None,
            fails="the new model fails on the example: {error}; nothing is changed",
            differs="the new model's outputs differ from the old one's by {error:.1e} of the largest, and "
            "{allowed:.1e} is what rounding may do; nothing is changed. The model may use its layers in ways that a "
            "pass over data doesn't show, or be so unequal that rounding shows: try it in float64",
            needs_numbers=data is not None,
        )
        training_error = _in_training(running.old, running.new, norms.values(), running.arguments)
    return running.new, Insertion(
        running.changes,
        sum(parameter.numel() for parameter in running.added),
        sum(bias.numel() for bias in running.removed),
        min((seen.count for seen in moments.values()), default=0),
        error,
        training_error,
    )


def _find(
    model: nn.Module, arguments: Arguments, after_activation: bool
) -> tuple[list[Decision], dict[str, Position]]:
    """Return the decision on each convolution and linear layer, and the positions for norms by path of the layer.

    Raises:
        ModelError: there is no position.
    """
    positions = Positions(model, consumers(model, arguments))
    find = positions.after_activation if after_activation else positions.after
    found: dict[str, Position] = {}

    def note(path: str, layer: nn.Module) -> str:
        found[path] = find(layer)
        return "a norm can be put after it"

    decisions = [decide(path, layer, partial(note, path, layer)) for path, layer in positions.layers()]
    if not decisions:
        raise ModelError("the model has no convolution or linear layer behind which a BN layer could be put")
    if not found:
        lines = [str(decision.record()) for decision in decisions]
        raise ModelError("\n".join(["the model has no place for a BN layer", *lines]))
    return decisions, found


def _insert_norms(
    running: Operation, positions: Iterable[Position], moments: Mapping[str, Moments]
) -> dict[str, str]:
    """Insert a norm at each position, and return its path by the path of the module before it."""
    norms: dict[str, nn.Module] = {}
    # Several layers may share a position, after their common activation.
    for path, position in {position.path: position for position in positions}.items():
        norm = norms[path] = insert_norm(running.new, position, moments.get(path))
        running.added.update(dict.fromkeys(norm.parameters(), weight_of(position.layer)))
    paths = {module: path for path, module in running.new.named_modules()}
    return {path: paths[norm] for path, norm in norms.items()}


def _in_training(old: nn.Module, new: nn.Module, norms: Iterable[str], arguments: Arguments) -> float:
    """Return the distance of outputs from the old ones when the new norms use batch statistics."""
    batchwise = shadow_copy(new)
    for path in norms:
        # Without running statistics, a layer uses the batch's.
        batchwise.get_submodule(path)._buffers.update(running_mean=None, running_var=None)
    try:
        with unchanged(old, batchwise):
            return output_error(old, batchwise, arguments)
    except ShapeError:
        return math.nan


def _detail(
    path: str,
    position: Position,
    model: nn.Module,
    norms: Mapping[str, str],
    of_biases: Mapping[str, Decision],
) -> str:
    """Return the description of a layer that got a norm."""
    norm = norms[position.path]
    after = "it" if position.path == path else repr(position.path)
    said = f"{type(model.get_submodule(norm)).__name__} {norm!r} behind {after}"
    bias = of_biases.get(norm)
    if bias is None:
        return said
    if bias.changed:
        return f"{said}, its bias removed"
    has_bias = position.layer._parameters.get("bias", norm) is not None
    return f"{said}; its bias stays: {bias.reason}" if has_bias else said
