"""Arguments of one call of batch normalization, for all implementations."""

from collections.abc import Callable
from dataclasses import dataclass

from normwise.keras.moments import BatchMoments, Tensor

#: Function from the moments of a batch to its γ and β.
Correction = Callable[[BatchMoments, Tensor | None, Tensor | None], tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Call:
    r"""One call of :math:`y = a(\gamma (x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta + r)`.

    Attributes:
        x: Input, of any dtype; computed in float32, or float64.
        axis: Axis of the channels, not negative.
        epsilon: Number that is added to the variance.
        name: Name of the layer, for errors.
        gamma, beta: γ and β, ``(C,)``, float32 or float64; None for 1 and 0.
        statistics: Mean and variance that normalise, ``(C,)``; None for those of the batch.
        mask: Boolean, True where a position is real; it broadcasts to ``x``, with one channel or all.
        residual: Tensor of the shape of ``x`` that is added before the activation.
        activation: Function of ``keras.activations``, or None.
        virtual_batch_size: Most samples that are normalised together; None for all.
        synchronized: Whether the statistics are those of all replicas.
        correct: Function for γ and β in renormalization, or None.
    """

    x: Tensor
    axis: int
    epsilon: float
    name: str
    gamma: Tensor | None
    beta: Tensor | None
    statistics: tuple[Tensor, Tensor] | None = None
    mask: Tensor | None = None
    residual: Tensor | None = None
    activation: Callable[[Tensor], Tensor] | None = None
    virtual_batch_size: int | None = None
    synchronized: bool = False
    correct: Correction | None = None
