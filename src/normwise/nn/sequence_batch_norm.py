"""Batch normalization between recurrent layers, over the real positions of all sequences of a batch."""

from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from normwise.errors import ArgumentError, MaskError, NormwiseError, ShapeError
from normwise.functional import sequence_mask
from normwise.functional.sequence_mask import lengths_as_tensor
from normwise.nn.batch_norm import BatchNorm1d
from normwise.nn.layer_path import named_error
from normwise.nn.tools.scripted import NotScriptable
from normwise.nn.tools.traced_leaf import is_traced, leaf_call


class SequenceBatchNorm(NotScriptable):
    r"""Sequence-wise batch normalization: one mean and variance per channel, over batch and time.

    .. math::

        y_{t,n} = a\left(\gamma \, \frac{x_{t,n} - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta\right), \qquad
        \mu = \frac{1}{m} \sum_n \sum_{t < l_n} x_{t,n}

    with :math:`m = \sum_n l_n`, the number of real positions: padding takes no part in statistics, counts and
    gradients, and its output is 0. Use the layer between recurrent layers; it takes their outputs.

    Shape:
        ``input`` and output: ``(L, N, C)``, with ``batch_first`` ``(N, L, C)``, without a batch ``(L, C)``; or a
        ``PackedSequence`` of ``(total, C)``, which knows its lengths. ``lengths``: ``(N,)``, whole numbers, as a tensor
        or a list. ``mask``, in place of lengths: boolean ``(L, N)``, with ``batch_first`` ``(N, L)``, True where a
        position is real.

    Args:
        num_features: Number of channels, C.
        batch_first: Whether the batch comes before the time.

    The other arguments and the running statistics are those of :class:`BatchNorm1d`. The attribute ``norm``, a
    :class:`BatchNorm1d` with inputs ``(N·L, C)``, computes; :func:`normwise.calibrate`, ``watch``, ``freeze`` and
    the other operations find it.

    Raises:
        ShapeError: the input has wrong axes or channels; the error names the layer.
        ArgumentError: lengths and mask are both given, or either with a ``PackedSequence``.
        MaskError: the mask is not boolean, or has another shape or device.

    References:
        Laurent, Pereyra, Brakel, Zhang & Bengio 2015, https://arxiv.org/abs/1510.01378, section 3.3; Amodei et al. 2015
        (Deep Speech 2), https://arxiv.org/abs/1512.02595, section 3.2.

    Example:
        >>> import torch, normwise
        >>> layer = normwise.nn.SequenceBatchNorm(8, batch_first=True)
        >>> layer(torch.randn(2, 5, 8), lengths=torch.tensor([5, 3])).shape
        torch.Size([2, 5, 8])
    """

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
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.batch_first = batch_first
        self.norm = BatchNorm1d(
            num_features,
            eps,
            momentum,
            affine,
            track_running_stats,
            device,
            dtype,
            bias=bias,
            activation=activation,
        )

    @overload
    def forward(
        self, input: Tensor, lengths: Tensor | Sequence[int] | None = None, *, mask: Tensor | None = None
    ) -> Tensor: ...

    @overload
    def forward(self, input: PackedSequence) -> PackedSequence: ...

    def forward(
        self,
        input: Tensor | PackedSequence,
        lengths: Tensor | Sequence[int] | None = None,
        *,
        mask: Tensor | None = None,
    ) -> Tensor | PackedSequence:
        """Normalise ``input``; see the class for the equation, shapes and errors."""
        if is_traced(input):
            return leaf_call(self, input, lengths=lengths, mask=mask)
        try:
            if isinstance(input, PackedSequence):
                self._check_packed(input, lengths, mask)
            else:
                mask = self._flat_mask(input, lengths, mask)
        except NormwiseError as error:
            if torch.compiler.is_compiling():
                raise
            raise named_error(self, error) from None
        if isinstance(input, PackedSequence):
            return input._replace(data=self.norm(input.data))
        return self.norm(input.flatten(0, -2), mask=mask).view(input.shape)

    def _check_packed(
        self, input: PackedSequence, lengths: Tensor | Sequence[int] | None, mask: Tensor | None
    ) -> None:
        if lengths is not None or mask is not None:
            raise ArgumentError("a PackedSequence knows its lengths; pass it without lengths and mask")
        if input.data.dim() != 2 or input.data.shape[1] != self.num_features:
            raise ShapeError(
                f"expected a PackedSequence of data (total, {self.num_features}), got {tuple(input.data.shape)}"
            )

    def _flat_mask(
        self, input: Tensor, lengths: Tensor | Sequence[int] | None, mask: Tensor | None
    ) -> Tensor | None:
        """Return the mask with all positions in one row."""
        layout = "(N, L, C)" if self.batch_first else "(L, N, C)"
        if input.dim() not in (2, 3) or input.shape[-1] != self.num_features:
            raise ShapeError(
                f"expected an input of shape {layout} or (L, C) with C = {self.num_features}, got {tuple(input.shape)}"
            )
        if mask is not None and lengths is not None:
            raise ArgumentError("lengths and mask say the same; pass one of them")
        if lengths is not None:
            if input.dim() == 2:
                raise ArgumentError(
                    f"lengths are for a batch, {layout}; got an input of shape {tuple(input.shape)}"
                )
            lengths = lengths_as_tensor(lengths)
            batch, length = input.shape[:2] if self.batch_first else input.shape[1::-1]
            if lengths.shape != (batch,):
                raise ShapeError(
                    f"expected lengths of shape ({batch},), one a sequence, got {tuple(lengths.shape)}"
                )
            mask = sequence_mask(lengths, length).to(input.device)
            mask = mask if self.batch_first else mask.t()
        elif mask is not None:
            if not isinstance(mask, Tensor):
                raise MaskError(
                    f"expected a boolean tensor as mask, True where a position is real, got {type(mask).__name__}"
                )
            if mask.shape != input.shape[:-1]:
                raise MaskError(
                    f"expected a mask of shape {tuple(input.shape[:-1])}, got {tuple(mask.shape)}"
                )
        return None if mask is None else mask.flatten()

    def extra_repr(self) -> str:
        """Return the arguments, for ``repr``."""
        return f"batch_first={self.batch_first}"
