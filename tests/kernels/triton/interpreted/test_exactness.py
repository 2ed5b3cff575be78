"""Errors where precision is lost easily: at most those of torch's operators, but for the last digit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from normwise.kernels import Call, dispatch
from normwise.kernels.triton import tiling
from tests.kernels.triton.interpreted.watched import WatchedBackend
from tests.support.kernels.exactness import INPUTS, ULP, assert_no_worse_than_torch, batch

SHAPES = {
    "planes at once": ((6, 3, 13, 11), torch.contiguous_format),
    "planes in parts": ((10, 3, 30, 31), torch.contiguous_format),
    "short rows at once": ((33, 8, 7, 7), torch.contiguous_format),
    "one long row": ((1, 2, 12_001), torch.contiguous_format),
    "channels last at once": ((8, 19, 6, 5), torch.channels_last),
    "channels last in parts": ((8, 37, 9, 11), torch.channels_last),
    "(N, C)": ((601, 19), torch.contiguous_format),
}


def by_kernels(activation: str | None) -> Callable[..., Tensor]:
    def function(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return dispatch.batch_norm(
            Call(x, mean, var, weight, bias, training=True, momentum=1.0, activation=activation)
        )

    return function


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("layout", SHAPES)
def test_adversarial_input_is_as_exact_as_with_torch(layout: str, kind: str, triton: WatchedBackend) -> None:
    shape, memory_format = SHAPES[layout]
    x, weight, bias, grad = batch(shape, memory_format, seed=0)
    x = INPUTS[kind](x).contiguous(memory_format=memory_format)
    assert_no_worse_than_torch(by_kernels(None), x, weight, bias, grad, None, float32_sums=True)
    at_once = "at once" in layout
    assert [plan.at_once for plan in (*triton.forwards, *triton.backwards)] == [at_once, at_once]


@pytest.mark.parametrize("layout", SHAPES)
def test_relu_is_as_exact_as_with_torch(layout: str, triton: WatchedBackend) -> None:
    x, weight, bias, grad = batch(*SHAPES[layout], seed=1)
    assert_no_worse_than_torch(by_kernels("relu"), x, weight, bias, grad, "relu", float32_sums=True)
    assert triton.backwards


@pytest.mark.parametrize("positions", [40, 9000])
def test_padding_in_front_costs_no_digit(positions: int, triton: WatchedBackend) -> None:
    """Whole parts of it, where the kernels look for a value near the mean."""
    x = torch.randn(8, 3, positions, generator=torch.Generator().manual_seed(3)) + 1e6
    mask = torch.ones(8, positions, dtype=torch.bool)
    mask[:4] = False
    mask[4, : positions // 2 + 1] = False
    x[:4] = -1e9
    mean, var = torch.zeros(3), torch.zeros(3)
    dispatch.batch_norm(Call(x, mean, var, training=True, momentum=1.0, mask=mask))
    assert triton.forwards
    values = x.double().movedim(1, 0)[:, mask]
    torch.testing.assert_close(mean, values.mean(1).float(), rtol=ULP, atol=0)
    torch.testing.assert_close(var, values.var(1).float(), rtol=4 * ULP, atol=0)


def _split(rows: int, channels: int, parts: int) -> Callable[..., tiling.SumsTile]:
    """Return the choice of tiles that has so many rows, channels and, where there are so many tiles, parts."""

    def tile(shape: tiling.Shape, multiprocessors: int, *, backward: bool) -> tiling.SumsTile:
        chunks = -(-shape.length // rows)
        units = shape.outer * chunks
        of_part = -(-units // min(parts, units))
        return tiling.SumsTile(
            rows,
            channels,
            1 if shape.last else min(shape.units[1], 16 // shape.itemsize, rows),
            4,
            chunks,
            units,
            of_part,
            -(-units // of_part),
            -(-shape.channels // channels),
        )

    return tile


def _no_whole_tile(*_: Any, **__: Any) -> None:
    return None


@settings(
    deadline=None,
    max_examples=40,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.integers(1, 6),
    st.integers(1, 9),
    st.lists(st.integers(1, 12), max_size=3),
    st.sampled_from([0.0, 3.0, 1e3, 1e6]),
    st.booleans(),
    st.none() | st.tuples(st.sampled_from([4, 16, 64]), st.sampled_from([1, 2, 8]), st.integers(1, 7)),
    st.integers(0, 2**16),
)
def test_any_shape_in_any_parts_is_as_exact_as_with_torch(
    triton: WatchedBackend,
    n: int,
    c: int,
    rest: list[int],
    mean: float,
    channels_last: bool,
    split: tuple[int, int, int] | None,
    seed: int,
) -> None:
    from normwise.kernels.triton import launches, plans

    shape = (n, c, *rest)
    positions = n * int(np.prod(rest))
    if positions < 2 or positions > 1200:
        return
    formats = {4: torch.channels_last, 5: torch.channels_last_3d} if channels_last else {}
    x, weight, bias, grad = batch(shape, formats.get(len(shape), torch.contiguous_format), seed)
    with pytest.MonkeyPatch.context() as patch:
        if split is not None:
            patch.setattr(launches, "whole_tile", _no_whole_tile)
            for module in (launches, plans):
                patch.setattr(module, "sums_tile", _split(*split))
            triton._known.clear()
        assert_no_worse_than_torch(by_kernels(None), x + mean, weight, bias, grad, None, float32_sums=True)
    triton._known.clear()
    assert triton.backwards
