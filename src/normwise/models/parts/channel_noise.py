"""Noise that shifts and scales every channel at random in each training step."""

import torch
from torch import Tensor, nn

#: Largest mean and largest scale of a step's noise, and its spread within the batch.
_MEAN, _SCALE, _SPREAD = 0.5, 1.25, 0.1


class ChannelNoise(nn.Module):
    r"""Shift and scale of each channel that change from step to step; nothing in evaluation.

    .. math::

        y_{ic} = s_{ic} x_{ic} + m_{ic}, \qquad
        m_{ic} \sim U(\mu_c - 0.1, \mu_c + 0.1), \quad s_{ic} \sim N(\sigma_c, 0.1^2), \qquad
        \mu_c \sim U(-0.5, 0.5), \quad \sigma_c \sim U(1, 1.25)

    :math:`\mu_c` and :math:`\sigma_c` are drawn once a call, :math:`m` and :math:`s` for each sample i, too. Behind BN
    it brings back the shift between steps that BN takes out: Santurkar et al. 2018, How Does Batch Normalization Help
    Optimization? (https://arxiv.org/abs/1805.11604), section 2.1.

    Shapes: ``(N, C, *)``, the same out.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Return the values with noise in training, and as they are in evaluation."""
        if not self.training:
            return values
        samples, channels = values.shape[:2]
        mean = torch.empty(channels).uniform_(-_MEAN, _MEAN) + torch.empty(samples, channels).uniform_(
            -_SPREAD, _SPREAD
        )
        scale = torch.empty(channels).uniform_(1, _SCALE) + _SPREAD * torch.randn(samples, channels)
        shape = (samples, channels) + (1,) * (values.dim() - 2)
        return scale.view(shape).to(values) * values + mean.view(shape).to(values)
