"""LSTM with batch normalization within the recurrence."""

import torch

from normwise.nn.recurrent.lstm import NormLSTM
from normwise.nn.recurrent.step_batch_norms import WithStepNorms


class BatchNormLSTM(WithStepNorms, NormLSTM):
    r"""``torch.nn.LSTM`` with BN of the input, of the hidden state's contribution and of the cell, at each time step.

    .. math::

        (i, f, g, o)^T &= \mathrm{BN}(W_{hh} h_{t-1}; \gamma_h) + \mathrm{BN}(W_{ih} x_t; \gamma_x) + b \\
        c_t &= \sigma(f) \odot c_{t-1} + \sigma(i) \odot \tanh(g) \\
        h_t &= \sigma(o) \odot \tanh(\mathrm{BN}(c_t; \gamma_c, \beta_c))

    Each BN has its own statistics at each of the first ``max_length`` steps; all later steps share those of the
    last one. Steps are counted from the beginning of a sequence, in the reverse direction from its end. The
    statistics of a step are over the sequences that reach it, so padding never takes part; if only one sequence of
    a training batch reaches a step, it is normalised by the running statistics (see :class:`StepBatchNorm`). Steps
    that no training batch has reached have the statistics of the last reached step.

    With ``normwise.convert(model, "sync")`` the statistics of each step are over the sequences of all processes
    that reach it. The ranks may have different numbers and lengths of sequences, and a rank's batch may be empty,
    ``(L, 0, F)``; such a rank must also call the layer, and ``backward`` on a loss that includes its empty output.

    γ is initially 0.1 and biases are 0: with γ = 1 the tanh saturates and gradients vanish (section 4 of the
    paper). There is one bias b, since BN cancels a bias before it. :func:`normwise.calibrate` replaces the running
    statistics step by step.

    Shape:
        ``input`` ``(L, N, F)``, with ``batch_first`` ``(N, L, F)``, without a batch ``(L, F)``; or a
        ``PackedSequence``, sorted or not. ``hx`` is ``(h_0, c_0)``, ``(layers * directions, N, H)``, zeros if not
        given. ``lengths`` are whole numbers ``(N,)`` for a padded input; the output is 0 after the end of each
        sequence, and the last states are those at its end. Returns ``output, (h_n, c_n)`` as ``torch.nn.LSTM``
        does.

    Args:
        input_size: Number of features of the input, F.
        hidden_size: Number of features of the state, H.
        num_layers, batch_first, dropout, bidirectional, proj_size: As in ``torch.nn.LSTM``.
        bias: Whether the layer has b. (It always has β_c.)
        max_length: Number of steps with their own statistics.
        eps: Number that is added to the variances, ε.
        momentum: Weight of the new batch in the running statistics; None for their plain average.
        gamma: Initial value of all γ.

    Parameters are ``weight_ih_l0``, ``weight_hh_l0``, with a projection ``weight_hr_l0``, ``bias_l0``, and the norms
    ``norm_ih_l0``, ``norm_hh_l0`` and ``norm_c_l0``, for the reverse direction with ``_reverse``. With the same seed
    the weights are those of ``torch.nn.LSTM``.

    Raises:
        ShapeError: input, lengths or states have wrong axes or sizes; the error names the layer.
        ArgumentError: an argument is invalid, or the lengths don't fit.

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
