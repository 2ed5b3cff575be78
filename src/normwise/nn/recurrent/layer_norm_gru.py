"""GRU with layer normalization within the recurrence."""

import torch

from normwise.nn.recurrent.gru import NormGRU
from normwise.nn.recurrent.step_layer_norms import WithLayerNorms


class LayerNormGRU(WithLayerNorms, NormGRU):
    r"""``torch.nn.GRU`` with layer normalization of the input and of the hidden state's contribution.

    .. math::

        (r', z')^T &= \mathrm{LN}(W_{ih}^{rz} x_t), \quad n' = \mathrm{LN}(W_{ih}^{n} x_t), \quad
        (r'', z'')^T = \mathrm{LN}(W_{hh}^{rz} h_{t-1}), \quad n'' = \mathrm{LN}(W_{hh}^{n} h_{t-1}) \\
        r &= \sigma(r' + r'' + b_r), \quad z = \sigma(z' + z'' + b_z) \\
        n &= \tanh(n' + b_{n'} + r \odot (n'' + b_n)) \\
        h_t &= (1 - z) \odot n + z \odot h_{t-1}

    As in the paper, the two gates are normalised together, over 2 H elements, and the candidate n by itself, over
    H. The paper's z is 1 - z here, as in torch. ``bias_l0`` holds :math:`b_r, b_z, b_{n'}` and :math:`b_n`, of size
    H each. The only states are ``h_0`` and ``h_n``. Shapes, arguments and errors are otherwise those of
    :class:`LayerNormLSTM`.

    References:
        Ba, Kiros & Hinton 2016, https://arxiv.org/abs/1607.06450, the GRU of the supplement.

    Example:
        >>> import torch, normwise
        >>> gru = normwise.nn.LayerNormGRU(40, 16)
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
        eps: float = 1e-5,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0)
        self.eps = eps
        self._make(device, dtype)
