"""Function modes see our batch normalization as one call, as they see torch's, and change none of its numbers."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from normwise import functional, kernels
from normwise.nn import BatchNorm1d


class Seeing(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[tuple[Tensor, Tensor | None]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is kernels.batch_norm:
            self.inputs.append((args[0].x, args[0].mask))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("length", [3, 3000], ids=["small", "large"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_a_call_is_seen_once_and_gives_the_same_bits(
    length: int, dtype: torch.dtype, training: bool, masked: bool
) -> None:
    x = torch.randn(4, 5, length, dtype=dtype)
    mask = torch.rand(4, length) < 0.7 if masked else None
    layers = [BatchNorm1d(5, activation="relu", dtype=dtype).train(training) for _ in range(2)]
    expected = layers[0](x, mask=mask)
    with Seeing() as seeing:
        assert torch.equal(layers[1](x, mask=mask), expected)
    ((values, given),) = seeing.inputs
    assert values is x
    assert given is mask
    for one, other in zip(layers[0].buffers(), layers[1].buffers(), strict=True):
        assert torch.equal(one, other)


def test_so_is_that_of_the_function() -> None:
    x = torch.randn(4, 5)
    expected = functional.batch_norm(x, None, None, training=True)
    with Seeing() as outer, Seeing() as inner:
        assert torch.equal(functional.batch_norm(x, None, None, training=True), expected)
    assert len(outer.inputs) == len(inner.inputs) == 1


class Doubling(TorchFunctionMode):
    """A mode that replaces every tensor that it sees in arguments."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is kernels.batch_norm:
            args = pytree.tree_map_only(Tensor, Tensor.double, args)
        return func(*args, **(kwargs or {}))


def test_a_mode_may_replace_the_tensors_of_a_call() -> None:
    x, weight = torch.randn(4, 5), torch.rand(5)
    with Doubling():
        y = functional.batch_norm(x, None, None, weight, training=True)
    assert torch.equal(y, functional.batch_norm(x.double(), None, None, weight.double(), training=True))
