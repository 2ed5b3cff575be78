"""Batch normalization with the statistics of parts of a batch."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from normwise.errors import ArgumentError
from normwise.kernels import Call
from normwise.kernels.virtual_batches import batch_norm_in_parts, part_sizes
from normwise.nn.batch_norm import _BatchNorm
from normwise.nn.norm_traits import NormTraits
from normwise.nn.tools.scripted import NotScriptable


class _GhostBatchNorm(_BatchNorm, NotScriptable):
    """Base of the three layers."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
        activation: str | None = None,
        inplace: bool = False,
        virtual_batch_size: int = 32,
    ) -> None:
        if type(virtual_batch_size) is not int or virtual_batch_size < 1:
            raise ArgumentError(
                f"virtual_batch_size must be a whole number of samples, 1 or more, got {virtual_batch_size!r}"
            )
        super().__init__(
            num_features,
            eps,
            momentum,
            affine,
            track_running_stats,
            device,
            dtype,
            bias=bias,
            activation=activation,
            inplace=inplace,
        )
        self.virtual_batch_size = virtual_batch_size

    def _compute(self, call: Call) -> Tensor:
        call.check()
        shape = call.x.shape
        if not torch.compiler.is_compiling() and torch._C._is_tracing():
            # Sizes are tensors while tracing; the traced graph has the parts of the example.
            shape = tuple(map(int, shape))
        sizes = part_sizes(shape, self.virtual_batch_size) if self.training else ()
        # One part is the whole batch.
        return super()._compute(call) if len(sizes) <= 1 else batch_norm_in_parts(call, sizes)

    def extra_repr(self) -> str:
        """Return the arguments, for ``repr``."""
        return f"{super().extra_repr()}, virtual_batch_size={self.virtual_batch_size}"


class GhostBatchNorm1d(_GhostBatchNorm, nn.BatchNorm1d):
    r"""Batch normalization of ``(N, C)`` or ``(N, C, L)`` in which each virtual batch has its own statistics.

    .. math::

        y_i = a\left(\gamma \, \frac{x_i - \mu_{p(i)}}{\sqrt{\sigma_{p(i)}^2 + \epsilon}} + \beta + r_i\right)

    with the mean and the biased variance of the part :math:`p(i)` that sample :math:`i` is in. Parts are
    consecutive samples, cut as evenly as possible by ``torch.tensor_split``, so that no part has more than
    ``virtual_batch_size`` samples: a batch of 64 has two parts of 32, a batch of 80 has parts of 27, 27 and 26, and
    a batch of up to 32 is one part. So no small remainder has the statistics of a few samples; if a sample has one
    value per channel, no part is a single sample. The noise of small batches regularises, at the speed of large
    batches.

    The running statistics are updated with the mean and variance of the whole batch, with Bessel's correction, as
    in :class:`BatchNorm1d`: they describe the data, not the last part. Evaluation is the same as in
    :class:`BatchNorm1d` and does not depend on the batch. With ``mask`` a part counts only its real positions.

    Shape:
        ``input``, ``residual`` and the output ``(N, C)`` or ``(N, C, L)``; ``mask`` ``(N,)`` or ``(N, L)``.

    Args:
        virtual_batch_size: Most samples of a part.

    The other arguments and the errors are those of :class:`BatchNorm1d`. ``state_dict`` is compatible with torch's,
    in both directions.

    References:
        Hoffer, Hubara & Soudry 2017, https://arxiv.org/abs/1705.08741, section 4 and algorithm 1. In the paper, the
        running statistics are updated once per part.

    Example:
        >>> import torch, normwise
        >>> layer = normwise.nn.GhostBatchNorm1d(3, virtual_batch_size=2)
        >>> y = layer(torch.randn(6, 3))
        >>> y.view(3, 2, 3).mean(1).abs().max().item() < 1e-6
        True
    """

    traits: ClassVar[NormTraits] = NormTraits("batch", (1,), "ghost", fuses=True)
    _shapes: ClassVar[dict[int, str]] = {2: "(N, C)", 3: "(N, C, L)"}


class GhostBatchNorm2d(_GhostBatchNorm, nn.BatchNorm2d):
    """Batch normalization of images ``(N, C, H, W)`` in virtual batches; ``mask`` is ``(N, H, W)``.

    Arguments, behaviour and errors are otherwise those of :class:`GhostBatchNorm1d`.
    """

    traits: ClassVar[NormTraits] = NormTraits("batch", (2,), "ghost", fuses=True)
    _shapes: ClassVar[dict[int, str]] = {4: "(N, C, H, W)"}


class GhostBatchNorm3d(_GhostBatchNorm, nn.BatchNorm3d):
    """Batch normalization of volumes ``(N, C, D, H, W)`` in virtual batches; ``mask`` is ``(N, D, H, W)``.

    Arguments, behaviour and errors are otherwise those of :class:`GhostBatchNorm1d`.
    """

    traits: ClassVar[NormTraits] = NormTraits("batch", (3,), "ghost", fuses=True)
    _shapes: ClassVar[dict[int, str]] = {5: "(N, C, D, H, W)"}
