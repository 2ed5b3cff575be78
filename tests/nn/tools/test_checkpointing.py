"""Activation checkpointing: the same gradients, and statistics that move once."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from normwise import nn
from tests.support.kernels.implementations import each_type
from tests.support.layers import FAMILIES

LAYERS = {**FAMILIES, "plain average": partial(nn.BatchNorm1d, momentum=None)}


def two_steps(
    layer: Any, dtype: torch.dtype, masked: bool, reentrant: bool | None = None
) -> list[Tensor | None]:
    generator = torch.Generator().manual_seed(0)
    found: list[Tensor | None] = []
    for shift in range(2):
        x = (shift + torch.randn(6, 3, 4, generator=generator)).to(dtype).requires_grad_()
        mask = torch.rand(6, 4, generator=generator) < 0.7 if masked else None

        def forward(x: Tensor, mask: Tensor | None = mask) -> Tensor:
            return layer(x, residual=x, mask=mask).sin()

        layer.zero_grad()
        y = forward(x) if reentrant is None else checkpoint(forward, x, use_reentrant=reentrant)
        assert isinstance(y, Tensor)
        y.square().sum().backward()
        found += [y.detach(), x.grad, layer.weight.grad, layer.bias.grad]
    return [*found, *layer.buffers()]


@each_type(torch.float32, torch.float64)
@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.usefixtures("implementation")
def test_a_step_is_the_same_with_either_variant(
    make: Any, masked: bool, reentrant: bool, dtype: torch.dtype
) -> None:
    layers = [make(3, activation="silu", dtype=dtype) for _ in range(2)]
    found = two_steps(layers[0], dtype, masked, reentrant)
    torch.testing.assert_close(found, two_steps(layers[1], dtype, masked), rtol=0, atol=0)
    assert layers[0].num_batches_tracked.item() == 2
