"""Batch normalization over the batches of all processes, on any backend of ``torch.distributed``."""

from typing import ClassVar

import torch
import torch.distributed as dist
from torch import Tensor

from normwise.kernels import Call
from normwise.kernels.merged import merged_batch_norm
from normwise.nn.batch_norm import _BatchNorm
from normwise.nn.mixins.synchronised import Synchronised
from normwise.nn.norm_traits import NormTraits
from normwise.nn.tools.scripted import NotScriptable


class SyncBatchNorm(Synchronised, _BatchNorm, NotScriptable):
    r"""Batch normalization of ``(N, C, *)`` with the joint statistics of the batches of all ranks.

    .. math::

        m = \sum_k m_k \qquad \mu = \sum_k \frac{m_k}{m} \mu_k \qquad
        \sigma^2 = \sum_k \frac{m_k}{m} \left(\sigma_k^2 + (\mu_k - \mu)^2\right)

    with the number :math:`m_k` of values per channel on rank :math:`k`, which may differ from rank to rank and be 0,
    and with ``mask`` counts the real positions. Output, gradient of the input and running statistics are those of one
    process with the whole batch, to rounding; gradients of γ and β are over the rank's own samples, as for all
    other parameters (``DistributedDataParallel`` averages them).

    In evaluation, without an initialised process group, and in a group of one the layer is :class:`BatchNorm1d`, so
    a model with it runs unchanged in one process. A forward pass has one collective (:math:`2C + 1` float64 values
    from each rank), a backward pass has one (:math:`2C`), and messages have the size of the group's widest layer.
    On a CPU the layers use their own connections, which are made at the first call.

    Shape:
        ``input``, ``residual`` and the output ``(N, C, *)``, with up to three axes after the channels; ``mask``
        ``(N, *)``.

    Args:
        process_group: Ranks whose batches count as one batch; None for all ranks.
        timeout: Most seconds that a rank waits for the others in a collective, with gloo. NCCL uses the timeout of
            the process group instead.

    The other arguments are those of :class:`BatchNorm1d`, and ``state_dict`` is compatible with torch's, in both
    directions. A copy has the same process group; a pickled layer has none.

    Raises:
        DistributedError: the ranks are not at the same layer, or a rank has not arrived within ``timeout``; the
            error says which.
        ShapeError: the input has a wrong number of channels, or one value per channel in training on all ranks
            together.
        MaskError: the mask is not boolean, or has another shape or device.
        ArgumentError: the activation is unknown, or the input's dtype is not floating-point.

    References:
        Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167, section 3, over the whole batch. Merging: Chan, Golub &
        LeVeque 1983, equations 2.1 and 2.2.

    Example:
        On one process, as in a test, it is plain batch normalization:

        >>> import torch, normwise
        >>> normwise.nn.SyncBatchNorm(16, activation="relu")(torch.randn(8, 16, 5, 5)).shape
        torch.Size([8, 16, 5, 5])
    """

    traits: ClassVar[NormTraits] = NormTraits("batch", (1, 2, 3), "sync", fuses=True, synchronised=True)
    _shapes: ClassVar[dict[int, str]] = {
        2: "(N, C)",
        3: "(N, C, L)",
        4: "(N, C, H, W)",
        5: "(N, C, D, H, W)",
    }

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: dist.ProcessGroup | None = None,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
        activation: str | None = None,
        inplace: bool = False,
        timeout: float = 60.0,
    ) -> None:
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
        self.synchronise(process_group, timeout)

    def _compute(self, call: Call) -> Tensor:
        if not self.training or (union := self.rank_union(call.x.device)) is None:
            return super()._compute(call)
        call.check(alone=False)
        return merged_batch_norm(call, union)
