"""Normalisation layers into others, with all that they have."""

import math
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from normwise.errors import ModelError
from normwise.find import WITHIN_RECURRENCE, find
from normwise.nn.recurrent import StepBatchNorm
from normwise.records import Change, Conversion
from normwise.statistics import Batch
from normwise.surgery.convert.targets import LeftError, Outcome, Target, can_be_source, target_named
from normwise.surgery.core.example_arguments import Call, example_arguments
from normwise.surgery.core.move_optimizer import move_optimizer
from normwise.surgery.core.working_copy import workpiece
from normwise.surgery.graph.model_graph import observe
from normwise.surgery.proof.compare import rounding
from normwise.surgery.proof.on_example import output_difference


def convert(
    model: nn.Module,
    to: str,
    *,
    example: Batch | None = None,
    optimizer: Optimizer | None = None,
    inplace: bool = False,
    groups: int | None = None,
    **settings: Any,
) -> tuple[nn.Module, Conversion]:
    """Convert the BN layers of a model to another norm, or other norms to BN.

    ============  ======================================================================================
    ``to``        Layers
    ============  ======================================================================================
    "batch"       ``normwise.nn.BatchNorm1d``, ``2d``, ``3d``
    "torch"       ``torch.nn.BatchNorm1d``, ``2d``, ``3d``
    "frozen"      what they were, with statistics that stay, as :func:`normwise.freeze` makes them
    "group"       ``torch.nn.GroupNorm`` of up to 32 groups, with four or more channels in each if there are
    "layer"       ``torch.nn.GroupNorm`` of one group: over channels and positions; γ and β stay the channels'
    "instance"    ``torch.nn.InstanceNorm1d``, ``2d``, ``3d``: over positions
    ============  ======================================================================================

    and any further family of BN layers in ``normwise.nn``, by the name in its ``conversion``. All BN layers are
    converted: torch's, synchronised and frozen ones, ours, and constants such as torchvision's ``FrozenBatchNorm2d``.
    A layer of constants is tried on random numbers first, and left where it computes something else than BN.
    To BN, ``torch.nn.GroupNorm`` and ``InstanceNorm`` layers are converted, too.

    Kept are γ and β, running statistics, momentum, ε, counters, types, devices, hooks, modes, ``requires_grad``, tied
    layers and parameters, attributes, and keys of the ``state_dict``, as far as the new norm has them. Layers stay the
    same objects of another class, or copies of them. What a new norm has no place for, such as the momentum, it
    notes, so that there and back gives what there was; only statistics, where they were given up, start anew.
    An activation or residual of our layers goes along: other norms get it by a class of normwise before their own.

    A layer is left as it is, and the report says why, where it is a subclass with a forward of its own, which may do
    anything, where its parameters are computed from others, where it is called in a way that the new norm
    has no place for, or where nothing tells which layer it is to be.

    Args:
        model: Any model.
        to: What to convert to.
        example: One batch: the input; a tuple or list whose first item is the input; a dict of keywords. Outputs in
            evaluation are compared on it. It also tells how many axes a layer's input has, and how it is called.
        optimizer: An optimiser of the model. It trains the new model from now on, where that is a copy, its state
            included.
        inplace: Change the model itself, of which the parameters stay the same objects, instead of a copy.
        groups: For "group": at most so many; fewer where they don't divide the channels, or a group would be one value.
        settings: ``eps``; to BN also ``momentum``, ``track_running_stats`` and what a family has besides, instead of
            what each layer has: ``eps=1e-3, momentum=0.01`` for weights from Keras. ``track_running_stats=True`` gives
            layers that keep no statistics new ones.

    Returns:
        The model, and what became of each of its norm layers and of its outputs.

    Raises:
        ArgumentError: no such norm or setting.
        ModelError: the model fails on the example, or its outputs differ by more than rounding where they must not. An
            optimiser, and with ``inplace`` the model, are left as they were.

    References:
        Wu & He 2018, https://arxiv.org/abs/1803.08494 (group norm); Ba et al. 2016, https://arxiv.org/abs/1607.06450
        (layer norm); Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022 (instance norm).

    Example:
        >>> import torch, normwise
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 32, 3), torch.nn.BatchNorm2d(32), torch.nn.ReLU())
        >>> model, report = normwise.convert(model, "group")
        >>> model[1].num_groups, model[1].num_channels
        (8, 32)
    """
    target = target_named(to, groups, settings)
    arguments = None if example is None else example_arguments(example)
    with workpiece(model, inplace, arguments) as (old, new):
        moved = {} if new is model else dict(zip(model.parameters(), new.parameters(), strict=True))
        calls = {} if arguments is None else observe(new, *arguments)[1]
        changes, outcomes = _convert_all(new, target, calls)
        alters = any(outcome.alters for outcome in outcomes)
        error = math.nan if arguments is None else _compared(old, new, arguments, alters)
        if optimizer is not None:
            move_optimizer(optimizer, moved)
    return new, Conversion(to, changes, alters, any(outcome.retrain for outcome in outcomes), error)


def _convert_all(
    model: nn.Module, target: Target, calls: dict[nn.Module, Call]
) -> tuple[tuple[Change, ...], list[Outcome]]:
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    layers = {
        path: layer
        for path, layer in model.named_modules()
        if can_be_source(layer, to_batch_norm=target.is_batch_norm)
    }
    changes, outcomes = [], []
    for path, layer in layers.items():
        kind = type(layer).__name__
        try:
            outcome = target.convert(layer, calls.get(layer), like)
        except LeftError as reason:
            changes.append(Change(path, kind, False, str(reason)))
            continue
        outcomes.append(outcome)
        changes.append(Change(path, kind, True, outcome.detail + _called_by(model, path, layer in calls)))
    changes += [
        Change(found.path, found.kind, False, "it is a call of a function, and no layer to exchange")
        if found.node is not None
        else Change(found.path, found.kind, False, WITHIN_RECURRENCE)
        for found in find(model)
        if found.node is not None or isinstance(found.layer, StepBatchNorm)
    ]
    return tuple(changes), outcomes


def _called_by(model: nn.Module, path: str, is_called: bool) -> str:
    """Return what to say of a layer in a module whose ``forward`` was set on the instance: a copy has its own."""
    around = ["", *(path[:i] for i, letter in enumerate(path) if letter == ".")]
    replaced = next((name for name in around if "forward" in vars(model.get_submodule(name))), None)
    if replaced is None or not is_called:
        return ""
    where = repr(replaced) if replaced else "the model"
    return f"; the forward that was set on {where} calls it"


def _compared(old: nn.Module, new: nn.Module, arguments: Call, alters: bool) -> float:
    """How far the outputs on the example are from the old ones."""
    try:
        error = output_difference(old, new, *arguments)
    except ModelError:
        raise
    except Exception as failure:
        raise ModelError(
            f"the converted model fails on the example: {failure}. The model is left as it was"
        ) from failure
    if not alters and error > rounding(old):
        raise ModelError(
            f"outputs of the converted model differ by {error:.1e} of the largest, and {rounding(old):.1e} is what "
            "rounding may do: some layer does more than what its class tells. The model is left as it was"
        )
    return error
