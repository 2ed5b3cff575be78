"""GRU with batch normalization within the recurrence."""

import torch

from normwise.nn.recurrent.gru import NormGRU
from normwise.nn.recurrent.step_batch_norms import WithStepNorms


class BatchNormGRU(WithStepNorms, NormGRU):
    r"""``torch.nn.GRU`` with BN of the input and of the hidden state's contribution, at each time step.

    .. math::

        (r', z', n')^T &= \mathrm{BN}(W_{ih} x_t; \gamma_x) + b \\
        (r'', z'', n'')^T &= \mathrm{BN}(W_{hh} h_{t-1}; \gamma_h) \\
        r &= \sigma(r' + r''), \quad z = \sigma(z' + z'') \\
        n &= \tanh(n' + r \odot (n'' + b_n)) \\
        h_t &= (1 - z) \odot n + z \odot h_{t-1}

    This applies the method of Cooijmans et al. 2016 (https://arxiv.org/abs/1603.09025) for LSTMs to a GRU, which
    has no cell to normalise. ``bias_l0`` holds b, of size 3 H, and :math:`b_n`, of size H, which the reset gate
    multiplies. The only states are ``h_0`` and ``h_n``. Statistics, shapes, arguments and errors are otherwise
    those of :class:`BatchNormLSTM`.

    Example:
        >>> import torch, normwise
        >>> gru = normwise.nn.BatchNormGRU(40, 16, max_length=30)
        >>> output, h = gru(torch.randn(30, 8, 40))
        >>> output.shape, h.shape
        (torch.Size([30, 8, 16]), torch.Size([1, 8, 16]))
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
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        max_length: int = 100,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        gamma: float = 0.1,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0)
        self.max_length, self.eps, self.momentum, self.gamma = max_length, eps, momentum, gamma
        self._make(device, dtype)
