"""Fixtures that record what a network does with a batch, layer by layer."""

from collections.abc import Callable

import pytest
import torch
from torch import nn


@pytest.fixture
def layers_run() -> Callable[[nn.Module, tuple[int, int, int]], list[str]]:
    """Describes the layers in the order in which a forward pass runs them."""

    def layers(model: nn.Module, shape: tuple[int, int, int]) -> list[str]:
        seen: list[str] = []
        for module in model.modules():
            if not list(module.children()) and not isinstance(module, nn.Identity):
                module.register_forward_hook(lambda layer, _, __: seen.append(_describe(layer)))
        model(torch.randn(2, *shape))
        return seen

    return layers


def _describe(layer: nn.Module) -> str:
    name = type(layer).__name__
    if isinstance(layer, nn.Conv2d):
        padding = " padded" if layer.padding == (1, 1) else ""
        size = "×".join(map(str, layer.kernel_size))
        text = f"{layer.in_channels}→{layer.out_channels} of {size}{padding}"
        return f"{name} {text}{'' if layer.bias is not None else ' no bias'}"
    if isinstance(layer, nn.Linear):
        bias = "" if layer.bias is not None else " no bias"
        return f"Linear {layer.in_features}→{layer.out_features}{bias}"
    if isinstance(layer, nn.MaxPool2d):
        return f"{name} {layer.kernel_size}"
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        return f"{name} {layer.num_features}"
    return name
