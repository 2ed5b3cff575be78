"""LSTM with batch normalization within the recurrence."""

import torch

from normwise.nn.recurrent.lstm import NormLSTM
from normwise.nn.recurrent.step_batch_norms import WithStepNorms


class BatchNormLSTM(WithStepNorms, NormLSTM):
    r"""``torch.nn.LSTM`` with BN of what goes in, of what comes back and of the cell, for each time step.

    .. math::

        (i, f, g, o)^T &= \mathrm{BN}(W_{hh} h_{t-1}; \gamma_h) + \mathrm{BN}(W_{ih} x_t; \gamma_x) + b \\
        c_t &= \sigma(f) \odot c_{t-1} + \sigma(i) \odot \tanh(g) \\
        h_t &= \sigma(o) \odot \tanh(\mathrm{BN}(c_t; \gamma_c, \beta_c))

    Each BN has statistics of its own at each of the first ``max_length`` steps; all later ones share those of the last.
    A step counts from the beginning of its sequence, in the reverse direction from the end. It takes in the sequences
    that reach it, so padding never takes part; where only one of a training batch does, it is normalised by the running
    statistics (see :class:`StepBatchNorm`). Steps that no training batch has reached have the statistics of the
    last one that was.

    ``normwise.convert(model, "sync")`` makes the statistics of each step those of all processes' sequences that reach
    it. Their numbers and lengths may differ from rank to rank, and a rank's batch may then have none, ``(L, 0, F)``;
    such a rank, too, must call the layer, and ``backward`` on a loss that its empty output is in.

    γ begin at 0.1, biases at 0: with 1 the tanh saturate and gradients vanish (section 4 of the paper). There is one
    bias b, since BN cancels one within. :func:`normwise.calibrate` replaces the running statistics step by step.

    Shape:
        ``input`` ``(L, N, F)``, with ``batch_first`` ``(N, L, F)``, without a batch ``(L, F)``; or a
        ``PackedSequence``, sorted or not. ``hx`` is ``(h_0, c_0)``, ``(layers * directions, N, H)``, zeros if not
        given. ``lengths``: whole numbers ``(N,)``, of a padded input; the output is 0 behind the end of each, and the
        last states are those there. Gives ``output, (h_n, c_n)``, all as ``torch.nn.LSTM`` does.

    Args:
        input_size: Number of features of the input, F.
        hidden_size: Number of features of the state, H.
        num_layers, batch_first, dropout, bidirectional, proj_size: ``torch.nn.LSTM``'s.
        bias: Whether there is a b. (β_c is there in any case.)
        max_length: Steps with statistics of their own.
        eps: Added to the variances.
        momentum: Weight of the new batch in the running statistics; None for their plain average.
        gamma: What all γ begin with.

    Parameters are ``weight_ih_l0``, ``weight_hh_l0``, with a projection ``weight_hr_l0``, ``bias_l0``, and the norms
    ``norm_ih_l0``, ``norm_hh_l0`` and ``norm_c_l0``, for the reverse direction with ``_reverse``. With the same seed
    the weights are those of ``torch.nn.LSTM``.

    Raises:
        ShapeError: wrong axes or sizes of input, lengths or states. Names the layer.
        ArgumentError: an argument that can't be, or lengths that don't fit.

    References:
        Cooijmans et al. 2016, https://arxiv.org/abs/1603.09025, equations 6 to 8.

    Example:
        >>> import torch, normwise
        >>> lstm = normwise.nn.BatchNormLSTM(40, 16, batch_first=True, max_length=100)
        >>> output, (h, c) = lstm(torch.randn(8, 30, 40), lengths=torch.tensor([30, 12, 5, 7, 30, 9, 21, 2]))
        >>> output.shape, h.shape
        (torch.Size([8, 30, 16]), torch.Size([1, 8, 16]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        max_length: int = 100,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        gamma: float = 0.1,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size
        )
        self.max_length, self.eps, self.momentum, self.gamma = max_length, eps, momentum, gamma
        self._make(device, dtype)
