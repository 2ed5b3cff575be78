"""Conversion of normalization layers to others, with their parameters, statistics and attributes."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from normwise.layers import find, kind_of_norm
from normwise.records import Conversion
from normwise.statistics import Batch
from normwise.surgery.convert.target import ConvertedLayer, NormTarget
from normwise.surgery.convert.targets import target_named
from normwise.surgery.core.decision import Decision, decide
from normwise.surgery.core.example_arguments import Arguments
from normwise.surgery.core.operation import operation
from normwise.surgery.graph.model_graph import observe


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
    "sync"        ``normwise.nn.SyncBatchNorm``, over the processes of a group
    "ghost"       ``normwise.nn.GhostBatchNorm1d``, ``2d``, ``3d``, in virtual batches
    "renorm"      ``normwise.nn.BatchRenorm1d``, ``2d``, ``3d``
    "frozen"      the same classes with fixed statistics, as :func:`normwise.freeze` makes them
    "group"       ``torch.nn.GroupNorm`` of up to 32 groups, each of four or more channels if possible
    "layer"       ``torch.nn.GroupNorm`` of one group: over channels, positions; γ and β per channel
    "instance"    ``torch.nn.InstanceNorm1d``, ``2d``, ``3d``: over positions
    ============  ======================================================================================

    All BN layers are converted: torch's, synchronised and frozen ones, ours, and frozen layers of other libraries
    such as torchvision's ``FrozenBatchNorm2d``. A frozen layer is first tried on random numbers, and left unchanged
    if it does not compute BN. Any further class of BN layers in ``normwise.nn`` is a target by the ``conversion``
    in its ``traits``. Norms within ``BatchNormLSTM`` and ``BatchNormGRU``, which have statistics for each step, can
    become "sync", and "batch" again; other targets leave them unchanged. If the target is BN,
    ``torch.nn.GroupNorm`` and ``InstanceNorm`` layers are converted, too.

    The conversion keeps γ and β, running statistics, momentum, ε, counters, dtypes, devices, hooks, modes,
    ``requires_grad``, tied layers and parameters, attributes, and keys of the ``state_dict``, as far as the new
    norm has them. A layer stays the same object (or its copy) with another class. A new norm remembers settings
    that it does not have, such as the momentum, so that converting back restores the old layer; only dropped
    statistics start again. An activation or residual of our layers is kept: other norms get it by a mixin of
    normwise.

    A layer is left unchanged, and the report says why, if it is a subclass with its own forward, which may do
    anything, if its parameters are computed from others, if it is called in a way that the new norm does not
    support, or if the new class is ambiguous.

    Args:
        model: Model to convert.
        to: Name of the new norm, see above.
        example: One batch: the input, a tuple or list whose first item is the input, or a dict of keyword
            arguments; keys that forward has no argument for, such as ``labels``, are left out. Outputs in evaluation
            are compared on it. It also shows the number of axes of each layer's
            input, and its arguments.
        optimizer: Optimiser of the model. It trains the new model from now on, with its state, if that is a copy.
        inplace: Change the model itself instead of a copy; its parameters stay the same objects.
        groups: Largest number of groups for "group"; fewer if they don't divide the channels, or a group would be
            one value.
        settings: Settings that replace those of each layer: ``eps``, and for BN also ``momentum``,
            ``track_running_stats`` and those of the family, such as ``process_group`` or ``virtual_batch_size``.
            For weights from Keras: ``eps=1e-3, momentum=0.01``. ``track_running_stats=True`` gives new statistics
            to layers that keep none.

    Returns:
        The model, and a report on each of its norm layers and on its outputs.

    Raises:
        ArgumentError: there is no such norm or setting.
        ModelError: the model fails on the example, or its outputs differ by more than rounding where they must not.
            The optimiser, and with ``inplace`` the model, are unchanged.

    References:
        Wu & He 2018, https://arxiv.org/abs/1803.08494 (group norm); Ba et al. 2016, https://arxiv.org/abs/1607.06450
        (layer norm); Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022 (instance norm).

    Example:
        >>> import torch, normwise
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 32, 3), torch.nn.BatchNorm2d(32), torch.nn.ReLU())
        >>> model, report = normwise.convert(model, "group")
        >>> type(model[1]).__name__, model[1].num_groups
        ('GroupNorm', 8)
    """
    target = target_named(to, groups, settings)
    with operation(model, example, inplace=inplace, optimizer=optimizer) as running:
        calls = {} if example is None else observe(running.new, running.arguments)[1]
        running.decisions, converted = _convert_all(running.new, target, calls)
        alters = any(layer.alters for layer in converted)
        error = math.nan
        if example is not None:
            error, _ = running.compare_outputs(
                math.inf if alters else None,
                fails="the converted model fails on the example: {error}. The model is left as it was",
                differs="outputs of the converted model differ by {error:.1e} of the largest, and {allowed:.1e} is "
                "what rounding may do: some layer does more than what its class tells. The model is left as it was",
                needs_numbers=False,
            )
    retrain = any(layer.retrain for layer in converted)
    return running.new, Conversion(to, running.changes, alters, retrain, error)


def _convert_all(
    model: nn.Module, target: NormTarget, calls: Mapping[nn.Module, Arguments]
) -> tuple[list[Decision], list[ConvertedLayer]]:
    """Convert all layers that can be converted, in place, and return the decision on each."""
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    layers = {path: layer for path, layer in model.named_modules() if target.converts(layer)}
    converted: list[ConvertedLayer] = []

    def convert_layer(path: str, layer: nn.Module) -> str:
        converted.append(target.convert(layer, calls.get(layer), like))
        return converted[-1].detail + _called_by(model, path, layer in calls)

    decisions = [decide(path, layer, partial(convert_layer, path, layer)) for path, layer in layers.items()]
    for found in find(model):
        if found.layer is None:
            reason = "it is a call of a function, and no layer to exchange"
            decisions.append(Decision(found.path, found.kind, False, reason))
            continue
        traits = kind_of_norm(found.layer).traits
        if not traits.convertible and found.path not in layers:
            decisions.append(Decision(found.path, found.kind, False, traits.reason))
    return decisions, converted


def _called_by(model: nn.Module, path: str, is_called: bool) -> str:
    """Return a note on a layer in a module whose ``forward`` was set on the instance, since a copy calls its own."""
    around = ["", *(path[:i] for i, letter in enumerate(path) if letter == ".")]
    replaced = next((name for name in around if "forward" in vars(model.get_submodule(name))), None)
    if replaced is None or not is_called:
        return ""
    where = repr(replaced) if replaced else "the model"
    return f"; the forward that was set on {where} calls it"
