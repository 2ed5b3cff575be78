"""Ghost, renorm and synchronised layers in models that are accelerated, folded and exported."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.surgery import export_onnx, remove_biases

X = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
FAMILIES: dict[str, Callable[..., Any]] = {
    "ghost": partial(normwise.nn.GhostBatchNorm2d, virtual_batch_size=2),
    "renorm": partial(normwise.nn.BatchRenorm2d, warmup_steps=0, r_max_steps=0, d_max_steps=0),
    "sync": normwise.nn.SyncBatchNorm,
}


class Block(nn.Module):
    """A residual block."""

    def __init__(self, kind: Callable[..., Any]) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, padding=1), kind(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 3, 3, padding=1), kind(3)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + x)


@pytest.fixture(params=FAMILIES.values(), ids=list(FAMILIES))
def block(request: pytest.FixtureRequest) -> Block:
    """A block with layers of each family, trained for a while."""
    torch.manual_seed(0)
    block = Block(request.param)
    train(block)
    return block


def train(model: nn.Module) -> list[Tensor]:
    """Outputs of some training steps, and the state after them."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    found = []
    for step in range(3):
        y = model(X + step)
        (y * torch.linspace(-1, 1, y.numel()).view(y.shape)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(y.detach())
    return [*found, *(tensor.clone() for tensor in model.state_dict().values())]


def test_accelerate_fuses_activations_and_additions_and_training_goes_as_before(block: Any) -> None:
    new: Any
    old = copy.deepcopy(block)
    new, report = normwise.accelerate(block, X)
    assert [(change.activation, change.residual) for change in report.layers] == [
        ("relu", False),
        ("relu", True),
    ]
    assert type(new.bn1) is type(block.bn1)
    torch.testing.assert_close(train(new), train(old), rtol=1e-3, atol=1e-3)


def test_fold_takes_them_out(block: Block) -> None:
    new, _ = normwise.fold(block.eval(), X, timed=False)
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in new.modules())
    torch.testing.assert_close(new(X), block(X), rtol=1e-4, atol=1e-4)


def test_remove_biases_finds_that_they_cancel_them(block: Any) -> None:
    new: Any
    new, _ = remove_biases(block, X)
    assert new.conv1.bias is None
    torch.testing.assert_close(new.eval()(X), block.eval()(X), rtol=1e-4, atol=1e-4)


def test_export_to_onnx_computes_the_same(block: Block, tmp_path: Path) -> None:
    export_onnx(block.eval(), (X,), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    found: Any = session.run(None, {session.get_inputs()[0].name: X.numpy()})[0]
    np.testing.assert_allclose(found, block(X).detach().numpy(), rtol=1e-3, atol=1e-4)
