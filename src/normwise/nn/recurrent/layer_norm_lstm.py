"""LSTM with layer normalization within the recurrence."""

import torch

from normwise.nn.recurrent.lstm import NormLSTM
from normwise.nn.recurrent.step_layer_norms import WithLayerNorms


class LayerNormLSTM(WithLayerNorms, NormLSTM):
    r"""``torch.nn.LSTM`` with layer normalization of the input, of the hidden state's contribution and of the cell.

    .. math::

        (i, f, g, o)^T &= \mathrm{LN}(W_{hh} h_{t-1}; \gamma_h) + \mathrm{LN}(W_{ih} x_t; \gamma_x) + b \\
        c_t &= \sigma(f) \odot c_{t-1} + \sigma(i) \odot \tanh(g) \\
        h_t &= \sigma(o) \odot \tanh(\mathrm{LN}(c_t; \gamma_c, \beta_c))

    with the mean and variance of the vector itself, over its 4 H or H elements. The paper also has a β in the first
    two norms, which would be redundant with b. γ is initially 1 and biases are 0.

    Shapes, arguments, ``lengths``, names and errors are those of :class:`BatchNormLSTM`, without those of its
    statistics. The output of a sequence does not depend on other sequences.

    References:
        Ba, Kiros & Hinton 2016, https://arxiv.org/abs/1607.06450, section 3.1 and equations 20 to 22 of the supplement.

    Example:
        >>> import torch, normwise
        >>> lstm = normwise.nn.LayerNormLSTM(40, 16, bidirectional=True)
        >>> output, (h, c) = lstm(torch.randn(30, 8, 40))
        >>> output.shape, h.shape
        (torch.Size([30, 8, 32]), torch.Size([2, 8, 16]))
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
        eps: float = 1e-5,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size
        )
        self.eps = eps
        self._make(device, dtype)
