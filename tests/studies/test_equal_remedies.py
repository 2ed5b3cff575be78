"""Equalities by which the claim about remedies for small batches runs one thing in place of another."""

import torch
from torch import nn

import normwise
from normwise.models import build


def test_accumulated_gradients_are_those_of_ghost_batches() -> None:
    x = torch.rand(32, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(32) % 10
    plain, ghost = (
        build("ioffe_mlp", (1, 8, 8), 10, norm=norm, seed=0).double() for norm in ("batch", "ghost:4")
    )
    with normwise.accumulate(plain):
        for images, targets in zip(x.split(4), labels.split(4), strict=True):
            (nn.functional.cross_entropy(plain(images), targets) / 8).backward()
    nn.functional.cross_entropy(ghost(x), labels).backward()
    for (name, parameter), (_, other) in zip(plain.named_parameters(), ghost.named_parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, msg=lambda text, name=name: f"{name}: {text}")
    for (name, buffer), (_, other) in zip(plain.named_buffers(), ghost.named_buffers(), strict=True):
        torch.testing.assert_close(buffer, other, msg=lambda text, name=name: f"{name}: {text}")
