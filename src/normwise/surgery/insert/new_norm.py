"""New BN layers at positions of a model."""

from collections import OrderedDict

import torch
from torch import nn

from normwise.errors import ModelError
from normwise.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d
from normwise.statistics import Moments
from normwise.surgery.core.exchange_module import exchange_module
from normwise.surgery.insert.layer_with_norm import LayerWithNorm
from normwise.surgery.insert.positions import Position

#: Classes by the number of axes of the values.
_KINDS = {2: BatchNorm1d, 3: BatchNorm1d, 4: BatchNorm2d, 5: BatchNorm3d}


def insert_norm(model: nn.Module, position: Position, moments: Moments | None) -> nn.Module:
    """Put a new BN layer at a position; with ``moments`` it computes the identity."""
    weight, module = weight_of(position.layer), position.holder.get_submodule(position.name)
    norm = _KINDS[len(position.shape)](position.shape[1], device=weight.device, dtype=weight.dtype)
    norm.train(position.layer.training)
    if moments is not None:
        _keep(norm, moments, position.path)
    if position.in_sequence:
        entries = list(position.holder._modules.items())
        after = [name for name, _ in entries].index(position.name) + 1
        entries.insert(after, (f"{position.name}_norm", norm))
        position.holder._modules.clear()
        position.holder._modules.update(entries)
    else:
        pair = LayerWithNorm(OrderedDict(layer=module, norm=norm))
        pair.training = position.layer.training
        exchange_module(model, module, pair)
    return norm


def weight_of(layer: nn.Module) -> nn.Parameter:
    """Return the layer's weight, or the tensor that it is computed from."""
    return next(parameter for name, parameter in layer.named_parameters() if name != "bias")


@torch.no_grad()
def _keep(norm: nn.modules.batchnorm._BatchNorm, moments: Moments, path: str) -> None:
    mean, var = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    mean.copy_(moments.mean)
    var.copy_(moments.unbiased_variance)
    # From the rounded variance, so that both cancel; on the CPU, since not every device has float64.
    norm.weight.copy_((var.cpu().double() + norm.eps).sqrt())
    norm.bias.copy_(mean)
    if not (mean.isfinite() & var.isfinite()).all():
        raise ModelError(
            f"the values behind {path!r} have a mean or variance too large for {var.dtype}: up to "
            f"{moments.mean.abs().max():g} and {moments.unbiased_variance.max():g}"
        )
