"""Biases that batch normalization cancels, removed."""

from collections.abc import Collection
from dataclasses import astuple
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from normwise.layers import batch_norms, kind_of_norm
from normwise.records import BiasRemoval, Change
from normwise.statistics import Batch
from normwise.surgery.core.example_arguments import example_arguments
from normwise.surgery.core.move_optimizer import move_optimizer
from normwise.surgery.core.shadow_copy import twin
from normwise.surgery.core.working_copy import workpiece
from normwise.surgery.fold.candidates import Miss, Site, Sites
from normwise.surgery.graph.model_graph import flow
from normwise.surgery.proof.on_example import all_differences


def remove_biases(
    model: nn.Module,
    example: Batch,
    *,
    optimizer: Optimizer | None = None,
    inplace: bool = False,
) -> tuple[nn.Module, BiasRemoval]:
    r"""Remove each bias that goes into a BN layer and nowhere else.

    The mean of a batch moves with the bias, so that training subtracts it again: it learns nothing, and its gradient
    is rounding. For evaluation, it is taken out of the running mean, in float64, rounded once:

    .. math::

        \frac{(W x + b) - \mu}{\sqrt{\sigma^2 + \epsilon}} = \frac{W x - (\mu - b)}{\sqrt{\sigma^2 + \epsilon}}

    ``torch.fx`` follows values from a ``Conv1d`` to ``3d``, ``ConvTranspose1d`` to ``3d`` or ``Linear`` into the BN
    layer; on the way they may be transposed and reshaped, if channels stay channels. Where something else sees the
    layer's output, such as an activation, a hook or a second call, the bias counts, and stays. So it does where
    training may do something between the two that evaluation doesn't, by chance or after a while. A frozen BN layer
    subtracts no batch mean; before it, the bias goes if the layer's β learns and can do what the bias could.

    Outputs and gradients of all other parameters are compared with the old model's on the example, in training and
    in evaluation, before the model is handed out. Checkpoints of before have a bias too many, and running means that
    include it: load them first.

    Args:
        model: Any model, with torch's BN layers, ours, frozen or synchronised ones, in any mode.
        example: One batch: the input; a tuple or list whose first item is the input; a dict of keywords.
        optimizer: One that trains the model; from now on it trains the new one, without the biases.
        inplace: Change the model itself instead of a copy.

    Returns:
        The model, and what became of the bias before each BN layer.

    Raises:
        ModelError: the model fails on the example, or numbers differ by more than rounding. Then the model and the
            optimiser are as they were.

    Example:
        >>> import torch, normwise
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8))
        >>> lean, report = normwise.surgery.remove_biases(model, torch.randn(16, 4))
        >>> print(report.changes[0])
        1 (BatchNorm1d): the bias of Linear '0' is part of its running mean
        >>> lean[0].bias is None, report.removed
        (True, 8)

    References:
        Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167, section 3.2: "the bias b can be ignored".
    """
    args, kwargs = example_arguments(example)
    with workpiece(model, inplace, (args, kwargs)) as (old, new):
        replaced = dict(zip(old.parameters(), new.parameters(), strict=True))
        changes, biases = take_biases(new, args, kwargs)
        removed = sum(bias.numel() for bias in biases.values())
        errors = astuple(all_differences(_with_constants(old, biases), new, args, kwargs)) if biases else ()
        if optimizer is not None:
            gone = set(biases.values())
            move_optimizer(optimizer, {p: None if q in gone else q for p, q in replaced.items()})
    return new, BiasRemoval(changes, removed, *errors)


def take_biases(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    only: Collection[str] | None = None,
) -> tuple[tuple[Change, ...], dict[str, nn.Parameter]]:
    """Let running means take over the biases of the layers before them, in place.

    Args:
        model: Whose modules get other parameters and buffers; none is changed itself.
        args, kwargs: The example.
        only: Paths of the BN layers that are asked for; all by default.

    Returns:
        What became of the bias before each BN layer, and the biases that are gone by the paths of their layers.
    """
    seen = _to_be_looked_at(model)
    modes = [Sites(seen, flow(seen, args, kwargs, training=training)) for training in (False, True)]
    paths = {module: path for path, module in seen.named_modules()}
    changes: list[Change] = []
    taken: dict[str, nn.Parameter] = {}
    for path, kind in batch_norms(seen).items():
        if not kind.traits.foldable or (only is not None and path not in only):
            continue
        layer: nn.Module = kind.layer
        found = _layer_before(path, layer, *modes)
        if isinstance(found, Miss):
            changes.append(Change(path, type(layer).__name__, False, found.reason))
            continue
        site = paths[found.layer]
        bias, detail = _take(model.get_submodule(site), found.name, model.get_submodule(path))
        changes.append(Change(path, type(layer).__name__, bias is not None, detail))
        if bias is not None:
            taken[site] = bias
    return tuple(changes), taken


def _layer_before(path: str, layer: nn.Module, evaluation: Sites, training: Sites) -> Site | Miss:
    """Return the one layer whose outputs the BN layer normalises, whatever happens in training and in evaluation."""
    found: list[Site] = []
    for sites, where in ((evaluation, ""), (training, "in training, ")):
        reason = sites.obstacle(path, layer)
        here = Miss(reason) if reason else sites.before(layer)
        if isinstance(here, Miss):
            return Miss(f"{where}{here.reason}", here.near)
        found.append(here)
    if found[0].layer is not found[1].layer:
        return Miss(f"{found[0].name} is before it in evaluation, and {found[1].name} in training")
    if training.part_of(layer).writes:
        return Miss(
            "the forward pass around it sets attributes, by which it may do something else later in training"
        )
    return found[0]


def _to_be_looked_at(model: nn.Module) -> nn.Module:
    """A twin that shows what can be folded in training and in evaluation alike.

    In training mode dropout is no identity. BN layers may learn their statistics, or keep none, and cancel a bias:
    these are told to have some, and to have stopped learning.
    """
    seen = twin(model)
    seen.train()
    some = next(model.parameters(), torch.empty(0))
    for kind in batch_norms(seen).values():
        if kind.family == "batch":
            layer = kind.layer
            layer.training = False
            if not kind.has_statistics:
                layer._buffers["running_mean"] = some.new_zeros(layer.num_features)
                layer._buffers["running_var"] = some.new_ones(layer.num_features)
    return seen


def _take(layer: nn.Module, name: str, norm: nn.Module) -> tuple[nn.Parameter | None, str]:
    """The layer's bias, if the norm took it over, and what is to be said."""
    bias = layer._parameters.get("bias")
    if bias is None:
        return None, f"{name} has no bias"
    fixed = kind_of_norm(norm).frozen
    beta = norm._parameters.get("bias")
    if fixed and bias.requires_grad and (beta is None or not beta.requires_grad):
        return None, f"it is frozen, and without a β that learns; so the bias of {name} counts in training"
    mean = norm._buffers.get("running_mean")
    if mean is None:
        layer.register_parameter("bias", None)
        return bias, f"the bias of {name} is gone, since it subtracts the mean of each batch"
    # By way of the CPU, since not every device has float64.
    moved = (mean.detach().cpu().double() - bias.detach().cpu().double()).to(mean)
    if not moved.isfinite().all():
        return None, f"a running mean without the bias of {name} would be too large for {mean.dtype}"
    layer.register_parameter("bias", None)
    norm._buffers["running_mean"] = moved
    return bias, f"the bias of {name} is part of its running mean" + (", which is frozen" if fixed else "")


def _with_constants(model: nn.Module, paths: Collection[str]) -> nn.Module:
    """A twin whose biases are there but no parameters, so that its parameters are those that stay."""
    other = twin(model)
    for path in paths:
        layer = other.get_submodule(path)
        bias = layer.get_parameter("bias").detach()
        del layer._parameters["bias"]
        layer.register_buffer("bias", bias)
    return other
