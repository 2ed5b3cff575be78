"""Networks to fold, and a fold that is compared with the network before."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import normwise
from normwise.records import Folding


def randomised(model: nn.Module) -> nn.Module:
    """Statistics, γ and β that matter; in evaluation."""
    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is not None:
            layer.get_buffer("running_mean").normal_()
            layer.get_buffer("running_var").uniform_(0.5, 2)
            if layer.affine:
                nn.init.uniform_(layer.weight, 0.5, 2)
                nn.init.normal_(layer.bias)
    return model.double().eval()


def fold_and_compare(model: nn.Module, x: Tensor, **options: Any) -> tuple[nn.Module, Folding]:
    """Fold, and see for oneself that the outputs are the same and the model is as it was."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        expected = model(x.clone())
        folded, report = normwise.fold(model, x, timed=False, **options)
        torch.testing.assert_close(folded(x.clone()), expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    return folded, report


def changed(report: Folding) -> list[bool]:
    return [change.changed for change in report.changes]


class Calling(nn.Module):
    """Calls what it is told to."""

    def __init__(
        self,
        forward: Callable[[Any, Tensor], Tensor],
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv, self.norm, self.way = nn.Conv2d(3, 4, 1), norm or nn.BatchNorm2d(4), forward

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, x)
