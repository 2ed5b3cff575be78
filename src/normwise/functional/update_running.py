"""Update of running statistics."""

import torch
from torch import Tensor

from normwise.errors import ArgumentError, ShapeError
from normwise.kernels.torch_backend import primitives


def update_running(
    running_mean: Tensor | None,
    running_var: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    count: Tensor | int,
    momentum: float | Tensor | None = 0.1,
    *,
    counter: Tensor | None = None,
) -> None:
    r"""Update running statistics, in place, with the moments of a batch.

    .. math::

        \text{running} \leftarrow (1 - \text{momentum}) \, \text{running} + \text{momentum} \cdot s

    with :math:`s = \mu` for the mean and :math:`s = \sigma^2 m / (m - 1)`, Bessel's correction, for the variance. A
    batch with fewer than two real positions has no variance, and changes nothing. No gradient flows.

    Shape:
        ``running_mean``, ``running_var``, ``mean`` and ``variance``: ``(C,)``. ``count`` and ``counter``: ``()``.

    Args:
        running_mean, running_var: Running statistics, updated in place in their own dtypes; None is skipped.
        mean: Mean of the batch, as :func:`moments` returns it.
        variance: Biased variance of the batch, as :func:`moments` returns it.
        count: Number of real positions, :math:`m`.
        momentum: Weight of the new batch, as in torch (Keras and others give the weight of the old average); None
            for the plain average over the batches that ``counter`` counts.
        counter: Number of batches so far, int64; incremented if the batch has statistics.

    Raises:
        ShapeError: the running statistics have another shape than those of the batch.
        ArgumentError: the momentum is None and there is no counter.

    References:
        Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithm 2, line 10.

    Example:
        >>> import torch, normwise.functional as F
        >>> running_mean, running_var = torch.zeros(1), torch.ones(1)
        >>> count, mean, variance = F.moments(torch.tensor([[1.0], [3.0]]))
        >>> F.update_running(running_mean, running_var, mean, variance, count, momentum=0.5)
        >>> running_mean.item(), running_var.item()
        (1.0, 1.5)
    """
    for name, running, batch in (
        ("running_mean", running_mean, mean),
        ("running_var", running_var, variance),
    ):
        if running is not None and running.shape != batch.shape:
            raise ShapeError(
                f"{name} has the shape {tuple(running.shape)}, that of the batch {tuple(batch.shape)}; expected one "
                "value per channel in both"
            )
    if momentum is None and counter is None:
        raise ArgumentError(
            "momentum=None asks for the plain average over all batches, which needs their number; pass counter=, an "
            "int64 tensor that begins at 0"
        )
    if not isinstance(count, Tensor):
        count = torch.full((), count, dtype=mean.dtype, device=mean.device)
    primitives.update_running(running_mean, running_var, mean, variance, count, momentum, counter)
