"""Noise that stands behind BN to bring its shift back."""

import torch

from normwise.models.parts.channel_noise import ChannelNoise


def test_evaluation_has_none() -> None:
    values = torch.randn(4, 3)
    assert ChannelNoise().eval()(values) is values


def test_a_step_shifts_and_scales_each_channel_within_its_limits() -> None:
    torch.manual_seed(0)
    noisy = ChannelNoise()(torch.zeros(2000, 8))
    assert noisy.mean(0).abs().max() <= 0.52
    assert noisy.mean(0).std() > 0.1
    assert (noisy - noisy.mean(0)).abs().max() <= 0.12
    scales = ChannelNoise()(torch.full((2000, 8), 1000.0)).mean(0) / 1000
    assert 0.99 <= scales.min() <= scales.max() <= 1.26


def test_another_step_has_other_noise_and_a_seed_the_same() -> None:
    values = torch.zeros(5, 3, 2, 2)
    torch.manual_seed(3)
    first, second = ChannelNoise()(values), ChannelNoise()(values)
    torch.manual_seed(3)
    assert torch.equal(ChannelNoise()(values), first)
    assert not torch.equal(first, second)
