"""New parameters for a convolution or linear layer that takes over a BN layer."""

import torch
from torch import Tensor, nn

from normwise.surgery.core.decision import LeftError
from normwise.surgery.fold.algebra import into_inputs, into_outputs, layout_of, scale_and_shift
from normwise.surgery.fold.candidates import Candidate


def fold_into_layer_before(candidate: Candidate, batch_norm: nn.Module) -> str:
    """Fold a BN layer into the layer before it, and return a description.

    Raises:
        LeftError: the new weights would overflow.
    """
    layer = candidate.layer
    exact = into_outputs(*_weight_and_bias(layer), *scale_and_shift(batch_norm), layout_of(layer))
    _set(candidate, exact, batch_norm)
    return f"folded into {candidate.name} before it"


def fold_into_layer_after(candidate: Candidate, batch_norm: nn.Module) -> str:
    """Fold a BN layer into the layer after it, and return a description.

    Raises:
        LeftError: the new weights would overflow.
    """
    layer = candidate.layer
    exact = into_inputs(*_weight_and_bias(layer), *scale_and_shift(batch_norm), layout_of(layer))
    _set(candidate, exact, batch_norm)
    return f"folded into {candidate.name} behind it"


def _weight_and_bias(layer: nn.Module) -> tuple[nn.Parameter, nn.Parameter | None]:
    return layer.get_parameter("weight"), layer._parameters["bias"]


def _set(candidate: Candidate, exact: tuple[Tensor, Tensor | None], batch_norm: nn.Module) -> None:
    """Replace the layer's parameters by the exact ones, rounded once."""
    layer = candidate.layer
    weight, bias = _weight_and_bias(layer)
    with torch.no_grad():
        # Keep strides: channels-last weights are for speed.
        new_weight = torch.empty_like(weight).copy_(exact[0])
        new_bias = None if exact[1] is None else exact[1].to(weight)
    if not all(value.isfinite().all() for value in (new_weight, new_bias) if value is not None):
        raise LeftError(f"the weights of {candidate.name} would be too large for {weight.dtype}")
    layer.register_parameter("weight", nn.Parameter(new_weight, weight.requires_grad))
    if new_bias is not None:
        # A new bias comes from the layer's β.
        before = next(p for p in (bias, batch_norm._parameters.get("bias"), weight) if p is not None)
        layer.register_parameter("bias", nn.Parameter(new_bias, before.requires_grad))
