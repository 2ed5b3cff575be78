"""Removal of biases that batch normalization cancels."""

from collections.abc import Collection
from dataclasses import astuple
from functools import partial

import torch
from torch import nn
from torch.optim import Optimizer

from normwise.layers import batch_norms, kind_of_norm
from normwise.records import BiasRemoval
from normwise.statistics import Batch
from normwise.surgery.core.decision import Decision, LeftError, decide
from normwise.surgery.core.example_arguments import Arguments
from normwise.surgery.core.operation import operation
from normwise.surgery.core.shadow_copy import shadow_copy
from normwise.surgery.fold.candidates import Candidate, Candidates
from normwise.surgery.graph.model_graph import model_graph


def remove_biases(
    model: nn.Module,
    example: Batch,
    *,
    optimizer: Optimizer | None = None,
    inplace: bool = False,
) -> tuple[nn.Module, BiasRemoval]:
    r"""Remove each bias whose layer's output goes only into a BN layer.

    The mean of a batch moves with the bias, so training subtracts it again: it learns nothing, and its gradient is
    rounding. For evaluation, it is subtracted from the running mean, in float64, rounded once:

    .. math::

        \frac{(W x + b) - \mu}{\sqrt{\sigma^2 + \epsilon}} = \frac{W x - (\mu - b)}{\sqrt{\sigma^2 + \epsilon}}

    ``torch.fx`` follows values from a ``Conv1d`` to ``3d``, ``ConvTranspose1d`` to ``3d`` or ``Linear`` into the BN
    layer; on the way they may be transposed and reshaped, if the channel axis is kept. If something else sees the
    layer's output, such as an activation, a hook or a second call, the bias matters and stays. It also stays if
    training may do something between the two layers that evaluation doesn't, by chance or after some time. A frozen
    BN layer subtracts no batch mean; the bias before it is removed if the layer's β learns and can replace the
    bias.

    Outputs and gradients of all other parameters are compared with the old model's on the example, in training and
    in evaluation, before the model is returned. Old checkpoints have the additional biases, and running means that
    include them: load them before.

    Args:
        model: Model in any mode, with BN layers of torch, ours, frozen or synchronised.
        example: One batch: the input, a tuple or list whose first item is the input, or a dict of keyword
            arguments; keys that forward has no argument for, such as ``labels``, are left out.
        optimizer: Optimiser of the model, which trains the new model, without the biases, from now on.
        inplace: Change the model itself instead of a copy.

    Returns:
        The model, and a report on the bias before each BN layer.

    Raises:
        ModelError: the model fails on the example, or numbers differ by more than rounding. Model and optimiser are
            unchanged.

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
    with operation(model, example, inplace=inplace, optimizer=optimizer) as running:
        running.decisions, biases = take_biases(running.new, running.arguments)
        running.removed.update(biases.values())
        errors = astuple(running.compare_all(_with_constants(running.old, biases))) if biases else ()
    removed = sum(bias.numel() for bias in biases.values())
    return running.new, BiasRemoval(running.changes, removed, *errors)


def take_biases(
    model: nn.Module, arguments: Arguments, only: Collection[str] | None = None
) -> tuple[list[Decision], dict[str, nn.Parameter]]:
    """Subtract the biases of layers from the running means after them, in place.

    Args:
        model: Model whose modules get other parameters and buffers; no tensor is changed in place.
        arguments: Arguments of the example.
        only: Paths of the BN layers to treat; all by default.

    Returns:
        The decision on the bias before each BN layer, and the removed biases by the paths of their layers.
    """
    observed = _observed_copy(model)
    modes = [
        Candidates(observed, model_graph(observed, arguments, training=training))
        for training in (False, True)
    ]
    paths = {module: path for path, module in observed.named_modules()}
    taken: dict[str, nn.Parameter] = {}

    def take(path: str, layer: nn.Module) -> str:
        found = _layer_before(path, layer, *modes)
        site = paths[found.layer]
        bias, detail = _take(model.get_submodule(site), found.name, model.get_submodule(path))
        taken[site] = bias
        return detail

    decisions = [
        decide(path, kind.layer, partial(take, path, kind.layer))
        for path, kind in batch_norms(observed).items()
        if kind.traits.foldable and (only is None or path in only)
    ]
    return decisions, taken


def _layer_before(path: str, layer: nn.Module, evaluation: Candidates, training: Candidates) -> Candidate:
    """Return the layer whose outputs the BN layer normalises in training and in evaluation.

    Raises:
        LeftError: there is no such layer.
    """
    found: list[Candidate] = []
    for candidates, where in ((evaluation, ""), (training, "in training, ")):
        try:
            candidates.check(path, layer)
            found.append(candidates.before(layer))
        except LeftError as left:
            raise LeftError(f"{where}{left}") from None
    if found[0].layer is not found[1].layer:
        raise LeftError(f"{found[0].name} is before it in evaluation, and {found[1].name} in training")
    if training.part_of(layer).writes:
        raise LeftError(
            "the forward pass around it sets attributes, by which it may do something else later in training"
        )
    return found[0]


def _observed_copy(model: nn.Module) -> nn.Module:
    """Return a shadow copy that shows what can be folded in training and in evaluation alike.

    In training mode dropout is not the identity. A BN layer cancels a bias even if it is training or keeps no
    statistics, so these layers are given statistics and put into evaluation mode.
    """
    observed = shadow_copy(model)
    observed.train()
    some = next(model.parameters(), torch.empty(0))
    for kind in batch_norms(observed).values():
        if kind.family == "batch":
            layer = kind.layer
            layer.training = False
            if not kind.has_statistics:
                layer._buffers["running_mean"] = some.new_zeros(layer.num_features)
                layer._buffers["running_var"] = some.new_ones(layer.num_features)
    return observed


def _take(layer: nn.Module, name: str, norm: nn.Module) -> tuple[nn.Parameter, str]:
    """Subtract the layer's bias from the norm's running mean, and return the bias and a description.

    Raises:
        LeftError: the bias must stay, or there is none.
    """
    bias = layer._parameters.get("bias")
    if bias is None:
        raise LeftError(f"{name} has no bias")
    fixed = kind_of_norm(norm).frozen
    beta = norm._parameters.get("bias")
    if fixed and bias.requires_grad and (beta is None or not beta.requires_grad):
        raise LeftError(
            f"it is frozen, and without a β that learns; so the bias of {name} counts in training"
        )
    mean = norm._buffers.get("running_mean")
    if mean is None:
        layer.register_parameter("bias", None)
        return bias, f"the bias of {name} is gone, since it subtracts the mean of each batch"
    # On the CPU, since not every device has float64.
    moved = (mean.detach().cpu().double() - bias.detach().cpu().double()).to(mean)
    if not moved.isfinite().all():
        raise LeftError(f"a running mean without the bias of {name} would be too large for {mean.dtype}")
    layer.register_parameter("bias", None)
    norm._buffers["running_mean"] = moved
    return bias, f"the bias of {name} is part of its running mean" + (", which is frozen" if fixed else "")


def _with_constants(model: nn.Module, paths: Collection[str]) -> nn.Module:
    """Return a shadow copy in which the biases are not parameters, so that its parameters are those that stay."""
    other = shadow_copy(model)
    for path in paths:
        layer = other.get_submodule(path)
        bias = layer.get_parameter("bias").detach()
        del layer._parameters["bias"]
        layer.register_buffer("bias", bias)
    return other
