"""Layers and networks that surgery is done on."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support import networks


@pytest.fixture(scope="session")
def draw_network() -> Callable[..., tuple[nn.Module, Tensor]]:
    """A function that draws a network and an example: ``model, example = draw_network(data)``."""
    return networks.draw_network


@pytest.fixture
def trained() -> Callable[..., Any]:
    """A function that gives a layer other γ, β and statistics than a new one has, in training."""

    def train(layer: Any, x: Tensor | None = None) -> Any:
        generator = torch.Generator().manual_seed(1)
        images = 1 + 2 * torch.randn(6, 8, 5, 5, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(torch.rand(parameter.shape, generator=generator) + 0.5)
            for step in range(3):
                layer((images if x is None else x) + step)
        return layer

    return train


@pytest.fixture
def said() -> Callable[[Any], str]:
    """A function that gives the one detail of a report."""

    def of(report: Any) -> str:
        (change,) = report.changes
        return change.detail

    return of
