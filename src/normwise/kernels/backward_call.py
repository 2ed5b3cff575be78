"""One backward pass of batch normalization: what the forward pass kept, and the gradient of its output."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(slots=True, eq=False)
class BackwardCall:
    """One backward pass.

    Attributes:
        x: Input ``(N, C, *)`` of the forward pass; its output where ``from_output``.
        weight, bias: γ and β, ``(C,)``; None for 1 and 0.
        saved: What the backend's forward pass returned beside its output.
        slope_source: The tensor that tells the activation's slope once a residual was added, as
            :func:`normwise.kernels.gradient_rules.slope_source` chose it; None without a residual or an activation.
        grad_y: Gradient of the output.
        mask: Boolean ``(N, *)``, True where a position is real.
        training: Whether the batch's own statistics normalised.
        activation: The activation by name.
        from_output: Whether the output took the input's place.
        layout: Private to the backend that covers the call.
    """

    x: Tensor
    weight: Tensor | None
    bias: Tensor | None
    saved: Any
    slope_source: Tensor | None
    grad_y: Tensor
    mask: Tensor | None
    training: bool = True
    activation: str | None = None
    from_output: bool = False
    layout: Any = None


#: Gradients of the input, ``(N, C, *)``, of weight and bias, ``(C,)`` in float32, and of the residual where there was a
#: slope source, else None.
Gradients = tuple[Tensor, Tensor, Tensor, Tensor | None]
