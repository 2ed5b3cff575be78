"""One call of batch normalization, as each way to compute it takes it."""

from collections.abc import Callable
from dataclasses import dataclass

from normwise.keras.moments import BatchMoments, Tensor

#: Makes γ and β of a batch from its moments.
Correction = Callable[[BatchMoments, Tensor | None, Tensor | None], tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Call:
    r"""One call of :math:`y = a(\gamma (x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta + r)`.

    Attributes:
        x: Input, of any type; computed in float32, or float64.
        axis: Of the channels, not negative.
        epsilon: Added to the variance.
        name: Of the layer, for errors.
        gamma, beta: ``(C,)``, float32 or float64; None for 1 and 0.
        statistics: Mean and variance that normalise, ``(C,)``; None for those of the batch.
        mask: Boolean, True where a position is real; it broadcasts to ``x``, with one channel or all.
        residual: Added before the activation, of the shape of ``x``.
        activation: A function of ``keras.activations``; None for none.
        virtual_batch_size: Samples at most whose statistics normalise together; None for all.
        synchronized: Whether the statistics are those of all replicas.
        correct: What renormalization makes of γ and β.
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
