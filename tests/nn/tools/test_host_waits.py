"""A training step never waits for the device: nothing reads a value of a tensor, or brings one from the CPU.

Tensors of the meta device have no values, so that reading one fails there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

import normwise
from normwise import functional


class OnTheDevice(TorchDispatchMode):
    """Raises where an operator takes a tensor of the CPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for value in pytree.tree_leaves((args, kwargs)):
            if isinstance(value, Tensor) and value.is_cpu:
                raise AssertionError(f"{func} takes a tensor from the CPU")
        return func(*args, **(kwargs or {}))


@contextmanager
def without_waiting() -> Iterator[None]:
    """Refuse tensors of the CPU, and numbers of Python that become tensors elsewhere, by way of the CPU."""
    with pytest.MonkeyPatch.context() as patch, OnTheDevice():
        for name in ("tensor", "as_tensor"):
            patch.setattr(torch, name, partial(_made, getattr(torch, name)))
        yield


def _made(make: Callable[..., Tensor], *args: Any, **options: Any) -> Tensor:
    if torch.device(options.get("device") or "cpu").type != "cpu":
        raise AssertionError("a number is copied to the device")
    return make(*args, **options)


def on_device(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def step(layer: nn.Module, x: Tensor, **options: Any) -> None:
    with without_waiting():
        y = layer(x.requires_grad_(), **options)
        (y[0] if isinstance(y, tuple) else y).sum().backward()


BN = {
    "plain": normwise.nn.BatchNorm2d,
    "ghost": partial(normwise.nn.GhostBatchNorm2d, virtual_batch_size=3),
    "renorm": partial(normwise.nn.BatchRenorm2d, warmup_steps=0),
    "sync": normwise.nn.SyncBatchNorm,
}


@pytest.mark.parametrize("kind", BN.values(), ids=BN)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("residual", [False, True], ids=["alone", "residual"])
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_bn(
    training: bool,
    masked: bool,
    momentum: float | None,
    residual: bool,
    dtype: torch.dtype,
    kind: Callable[..., nn.Module],
) -> None:
    layer = kind(3, momentum=momentum, activation="relu", device="meta").train(training)
    x = on_device(8, 3, 6, 6, dtype=dtype)
    mask = on_device(8, 6, 6, dtype=torch.bool) if masked else None
    step(layer, x, residual=on_device(8, 3, 6, 6, dtype=dtype) if residual else None, mask=mask)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(
    "kind",
    [
        normwise.nn.BatchNormLSTM,
        normwise.nn.BatchNormGRU,
        normwise.nn.LayerNormLSTM,
        normwise.nn.LayerNormGRU,
    ],
)
def test_recurrent_layers(kind: Callable[..., nn.Module], training: bool) -> None:
    step(kind(3, 4, 2, device="meta").train(training), on_device(7, 4, 3))


def test_bn_between_recurrent_layers() -> None:
    layer = normwise.nn.SequenceBatchNorm(3, device="meta")
    step(layer, on_device(7, 4, 3), mask=on_device(7, 4, dtype=torch.bool))


@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_the_three_primitives(masked: bool) -> None:
    x, mask = on_device(8, 3, 6), on_device(8, 6, dtype=torch.bool) if masked else None
    with without_waiting():
        count, mean, variance = functional.moments(x, mask)
        functional.normalise(x, mean, (variance + 1e-5).rsqrt(), mask=mask)
        functional.update_running(on_device(3), on_device(3), mean, variance, count, 0.1)


def test_reading_a_value_would_be_found() -> None:
    with pytest.raises(RuntimeError):
        bool(on_device(3).any())
