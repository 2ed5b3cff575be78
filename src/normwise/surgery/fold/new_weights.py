"""New parameters for a convolution or linear layer that takes over a BN layer."""

import torch
from torch import Tensor, nn

from normwise.surgery.fold.algebra import Layout, into_inputs, into_outputs, scale_and_shift
from normwise.surgery.fold.candidates import Candidate, Miss


def give_outputs_to(site: Candidate, batch_norm: nn.Module) -> str | Miss:
    """Let the layer before a BN layer do what that does to its outputs; says what was done."""
    exact = into_outputs(*_weight_and_bias(site.layer), *scale_and_shift(batch_norm), _layout(site.layer))
    return _set(site, exact, batch_norm) or f"folded into {site.name} before it"


def give_inputs_to(site: Candidate, batch_norm: nn.Module) -> str | Miss:
    """Let the layer behind a BN layer do what that does to its inputs; says what was done."""
    exact = into_inputs(*_weight_and_bias(site.layer), *scale_and_shift(batch_norm), _layout(site.layer))
    return _set(site, exact, batch_norm) or f"folded into {site.name} behind it"


def _weight_and_bias(layer: nn.Module) -> tuple[nn.Parameter, nn.Parameter | None]:
    return layer.get_parameter("weight"), layer._parameters["bias"]


def _layout(layer: nn.Module) -> Layout:
    return Layout(getattr(layer, "groups", 1), isinstance(layer, nn.modules.conv._ConvTransposeNd))


def _set(site: Candidate, exact: tuple[Tensor, Tensor | None], batch_norm: nn.Module) -> Miss | None:
    """Exchange the layer's parameters for the exact ones, rounded once; not where they overflow."""
    weight, bias = _weight_and_bias(site.layer)
    with torch.no_grad():
        # Strides stay: channels-last weights are so for speed.
        new_weight = torch.empty_like(weight).copy_(exact[0])
        new_bias = None if exact[1] is None else exact[1].to(weight)
    if not all(value.isfinite().all() for value in (new_weight, new_bias) if value is not None):
        return Miss(f"the weights of {site.name} would be too large for {weight.dtype}")
    site.layer.register_parameter("weight", nn.Parameter(new_weight, weight.requires_grad))
    if new_bias is not None:
        # A bias that comes in is the layer's β.
        before = next(p for p in (bias, batch_norm._parameters.get("bias"), weight) if p is not None)
        site.layer.register_parameter("bias", nn.Parameter(new_bias, before.requires_grad))
    return None
