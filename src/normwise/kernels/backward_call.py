"""One backward pass of batch normalization: what the forward pass kept, and the gradient of its output."""

from dataclasses import dataclass
from typing import Any, NamedTuple

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
        parts: Number of parts of the batch that were normalised each by its own statistics.
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


#: Gradients of the input, ``(N, C, *)``, of weight and bias, ``(C,)`` in float32, and of the residual where there was a
#: slope source, else None.
Gradients = tuple[Tensor, Tensor, Tensor, Tensor | None]


class MomentsGradient(NamedTuple):
    """Result of the first half of a backward pass.

    Attributes:
        moments: Gradients of the mean and the biased variance, float64 ``(2, C)``. Those of several batches that were
            normalised by the same moments add up to the gradients of these.
        weight, bias: Gradients of the parameters, ``(C,)`` in float32.
        residual: Gradient of the residual where there was a slope source, else None. The second half writes its
            padding.
    """

    moments: Tensor
    weight: Tensor
    bias: Tensor
    residual: Tensor | None
