"""Activation checkpointing computes layers twice: statistics move once, and numbers are those without it."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import normwise
from normwise.kernels import dispatch

_Make = Callable[[], nn.Module]
_IMAGE = (6, 4, 5, 5)


def _network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)
    )


def _accelerated() -> nn.Module:
    return normwise.accelerate(_network(), torch.randn(_IMAGE))[0]


#: Layers, and the shapes of their inputs.
_LAYERS: dict[str, tuple[_Make, tuple[int, ...]]] = {
    "1d": (lambda: normwise.nn.BatchNorm1d(4), (6, 4)),
    "1d average": (lambda: normwise.nn.BatchNorm1d(4, momentum=None), (6, 4, 3)),
    "2d activated": (lambda: normwise.nn.BatchNorm2d(4, activation="silu"), _IMAGE),
    "3d": (lambda: normwise.nn.BatchNorm3d(4), (2, 4, 3, 3, 3)),
    "sequence": (lambda: normwise.nn.SequenceBatchNorm(4), (5, 3, 4)),
    "ghost": (lambda: normwise.nn.GhostBatchNorm1d(4, virtual_batch_size=3), (6, 4)),
    "renorm": (
        lambda: normwise.nn.BatchRenorm1d(4, warmup_steps=0, r_max_steps=1, d_max_steps=1),
        (6, 4),
    ),
    "sync": (lambda: normwise.nn.SyncBatchNorm(4), (6, 4, 3)),
    "lstm": (lambda: normwise.nn.BatchNormLSTM(4, 3, max_length=4, bidirectional=True), (5, 3, 4)),
    "gru": (lambda: normwise.nn.BatchNormGRU(4, 3, num_layers=2), (5, 3, 4)),
    "accelerated": (_accelerated, _IMAGE),
    "converted": (lambda: normwise.convert(_network(), "batch")[0], _IMAGE),
}


def _output(model: nn.Module, x: Tensor) -> Tensor:
    output: Any = model(x)
    return output[0] if isinstance(output, tuple) else output


def _checkpointed(model: nn.Module, x: Tensor, reentrant: bool) -> Tensor:
    output: Any = checkpoint(_output, model, x, use_reentrant=reentrant)
    return output


@pytest.mark.parametrize("kernels", ["fast", "torch's"])
@pytest.mark.parametrize("reentrant", [True, False], ids=["reentrant", "not reentrant"])
@pytest.mark.parametrize(("make", "shape"), _LAYERS.values(), ids=_LAYERS)
def test_statistics_move_once_and_gradients_are_those_without(
    make: _Make, shape: tuple[int, ...], reentrant: bool, kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kernels != "fast":
        monkeypatch.setattr(dispatch, "BACKENDS", ())
    torch.manual_seed(0)
    model = make().train()
    plain = copy.deepcopy(model)
    for _ in range(2):
        x = torch.randn(shape).requires_grad_()
        same = x.detach().clone().requires_grad_()
        output, expected = _checkpointed(model, x, reentrant), _output(plain, same)
        torch.testing.assert_close(output, expected, rtol=0, atol=0)
        output.pow(3).sum().backward()
        expected.pow(3).sum().backward()
        torch.testing.assert_close(x.grad, same.grad, rtol=0, atol=0)
    for (name, mine), theirs in zip(model.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=0, atol=0, msg=name)
    torch.testing.assert_close(model.state_dict(), plain.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("name", ["2d activated", "sequence", "renorm", "lstm"])
def test_forward_passes_in_between_change_nothing(name: str, reentrant: bool) -> None:
    make, shape = _LAYERS[name]
    model = make()
    plain = copy.deepcopy(model)
    batches = [torch.randn(shape).requires_grad_() for _ in range(3)]
    copies = [x.detach().clone().requires_grad_() for x in batches]
    sum(_checkpointed(model, x, reentrant).pow(3).sum() for x in batches).backward()  # pyright: ignore
    sum(_output(plain, x).pow(3).sum() for x in copies).backward()  # pyright: ignore
    for x, same in zip(batches, copies, strict=True):
        torch.testing.assert_close(x.grad, same.grad, rtol=0, atol=0)
    torch.testing.assert_close(model.state_dict(), plain.state_dict(), rtol=0, atol=0)


class _Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = normwise.nn.BatchNorm1d(4, activation="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x, residual=x, mask=torch.arange(x.shape[2]) < 2 + torch.arange(len(x))[:, None] % 2)


@pytest.mark.parametrize("reentrant", [True, False])
def test_masks_and_residuals_are_computed_again(reentrant: bool) -> None:
    model, x = _Masked(), torch.randn(6, 4, 5).requires_grad_()
    plain, same = copy.deepcopy(model), x.detach().clone().requires_grad_()
    _checkpointed(model, x, reentrant).pow(3).sum().backward()
    plain(same).pow(3).sum().backward()
    torch.testing.assert_close(x.grad, same.grad, rtol=0, atol=0)
    torch.testing.assert_close(model.state_dict(), plain.state_dict(), rtol=0, atol=0)


class _WithinCheckpoint(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.reentrant = reentrant
        self.block = nn.Sequential(nn.Linear(4, 4), normwise.nn.BatchNorm1d(4, activation="relu"))

    def forward(self, x: Tensor) -> Tensor:
        output: Any = checkpoint(self.block, x, use_reentrant=self.reentrant)
        return output


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_compiled_model_moves_statistics_once(reentrant: bool) -> None:
    model, x = _WithinCheckpoint(reentrant), torch.randn(6, 4).requires_grad_()
    plain, same = copy.deepcopy(model.block), x.detach().clone().requires_grad_()
    compiled: Any = torch.compile(model, backend="aot_eager")
    compiled(x).pow(3).sum().backward()
    plain(same).pow(3).sum().backward()
    torch.testing.assert_close(x.grad, same.grad)
    torch.testing.assert_close(model.block.state_dict(), plain.state_dict())


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("kind", [nn.BatchNorm1d, normwise.nn.BatchNorm1d], ids=["torch", "ours"])
def test_accumulate_counts_no_recomputation(kind: Any, reentrant: bool) -> None:
    layer, x = kind(4), torch.randn(8, 4).requires_grad_()
    union = copy.deepcopy(layer)
    union(x)
    with normwise.accumulate(layer):
        for part in x.chunk(2):
            _checkpointed(layer, part, reentrant).pow(3).sum().backward()
    torch.testing.assert_close(layer.state_dict(), union.state_dict())


def test_a_second_forward_pass_of_training_is_no_recomputation() -> None:
    layer, x = normwise.nn.BatchNorm1d(4), torch.randn(8, 4)
    layer(layer(x)).sum().backward()
    layer(x)
    assert layer.num_batches_tracked == 3
