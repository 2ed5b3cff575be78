"""One backward pass of batch normalization: the saved tensors, and the gradient of the output."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor


@dataclass(slots=True, eq=False)
class BackwardCall:
    """One backward pass.

    Attributes:
        x: Input ``(N, C, *)`` of the forward pass; its output with ``from_output``.
        weight, bias: γ and β, ``(C,)``; None for 1 and 0.
        saved: Saved statistics that the backend's forward pass returned with its output.
        slope_source: Tensor that determines the activation's slope after a residual was added, chosen by
            :func:`normwise.kernels.gradient_rules.slope_source`; None without a residual or an activation.
        grad_y: Gradient of the output.
        mask: Boolean ``(N, *)``, True where a position is real.
        training: Whether batch statistics normalised.
        activation: Name of the activation.
        from_output: Whether the output overwrote the input.
        parts: Number of parts of the batch, each normalised by its own statistics.
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
    parts: int = 1
    layout: Any = None


#: Gradients of the input, ``(N, C, *)``, of weight and bias, ``(C,)`` in float32, and of the residual if
#: there was a slope source, else None.
Gradients = tuple[Tensor, Tensor, Tensor, Tensor | None]


class MomentsGradient(NamedTuple):
    """Result of the first half of a backward pass.

    Attributes:
        moments: Gradients of the mean and the biased variance, float64 ``(2, C)``. For several batches with the
            same moments, their sum is the gradient of the moments.
        weight, bias: Gradients of the parameters, ``(C,)`` in float32.
        residual: Gradient of the residual if there was a slope source, else None. The second half fills in its
            padding.
    """

    moments: Tensor
    weight: Tensor
    bias: Tensor
    residual: Tensor | None
