"""Tensors wherever they may lie in memory: the same bits come out, and nothing beside them is touched."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.kernels.triton.interpreted.step import Case, Tensors, compute
from tests.kernels.triton.interpreted.test_padding import SHAPES, assert_same_bits
from tests.kernels.triton.interpreted.watched import WatchedBackend

layouts = pytest.mark.parametrize("layout", SHAPES)
#: Elements that are watched on both sides of a tensor, and their value.
MARGIN, UNTOUCHED = 64, 77


def _at_an_offset(x: Tensor) -> Tensor:
    """Return the same values in the middle of a storage, not aligned to 16 bytes."""
    base = x.new_full((x.numel() + 7,), 3)
    return base[3 : 3 + x.numel()].as_strided(x.shape, x.stride(), 3).copy_(x)


def _strided(x: Tensor) -> Tensor:
    """Return the same values with others between them."""
    return torch.stack([x, ~x if x.dtype is torch.bool else x + 1], -1).flatten(-2)[..., ::2]


CHANGES: dict[str, tuple[Callable[[Tensor], Tensor], tuple[str, ...]]] = {
    "at an offset": (
        _at_an_offset,
        ("x", "residual", "grad_y", "weight", "bias", "mean", "var", "mask", "counter"),
    ),
    "strided": (_strided, ("residual", "grad_y", "mask")),
}


def _case(layout: str, **settings: Any) -> Case:
    shape, memory_format = SHAPES[layout]
    return Case(shape, memory_format, counter=True, **settings)


@layouts
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("activation", [None, "silu"])
def test_the_place_in_memory_changes_no_bit(
    layout: str, change: str, activation: str | None, triton: WatchedBackend
) -> None:
    function, names = CHANGES[change]
    case = _case(layout, masked=True, residual=True, activation=activation)
    tensors, moved = Tensors(case), Tensors(case)
    for name in names:
        setattr(moved, name, function(getattr(moved, name)))
    # Leaves are copies, which are aligned: the call itself has to get the tensors.
    results = [compute(case, each, copies=False) for each in (tensors, moved)]
    assert_same_bits(results[1], results[0])
    assert len(triton.backwards) == 2


class Margins:
    """Allocations of torch with numbers on both sides, which are to stay as they are."""

    def __init__(self) -> None:
        self.bases: list[tuple[Tensor, int]] = []

    def place(self, shape: Any, stride: Any, dtype: torch.dtype) -> Tensor:
        count = 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
        base = torch.full((count + 2 * MARGIN,), UNTOUCHED, dtype=dtype)
        self.bases.append((base, count))
        return base.as_strided(shape, stride, MARGIN)

    def empty_like(self, x: Tensor, **settings: Any) -> Tensor:
        return self.place(x.shape, x.stride(), settings.get("dtype", x.dtype))

    def new_empty(self, x: Tensor, shape: Any, dtype: torch.dtype | None = None) -> Tensor:
        shape = (shape,) if isinstance(shape, int) else shape
        return self.place(shape, torch.empty(shape, device="meta").stride(), dtype or x.dtype)

    def copy(self, x: Tensor) -> Tensor:
        return self.place(x.shape, x.stride(), x.dtype).copy_(x)

    def untouched(self) -> bool:
        return all(
            bool((base[:MARGIN] == UNTOUCHED).all() and (base[MARGIN + count :] == UNTOUCHED).all())
            for base, count in self.bases
        )


@layouts
@pytest.mark.parametrize(
    "settings",
    [
        {"residual": True, "activation": "gelu", "masked": True},
        {"training": False, "residual": True, "activation": "relu"},
        {"momentum": None},
    ],
    ids=["residual", "evaluation", "average"],
)
def test_nothing_is_written_beside_a_tensor(
    layout: str, settings: dict[str, Any], triton: WatchedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = _case(layout, **settings)
    tensors = Tensors(case)
    expected = compute(case, tensors)
    margins = Margins()
    for name in ("x", "residual", "grad_y", "weight", "bias", "mean", "var"):
        tensor = getattr(tensors, name)
        if tensor is not None:
            setattr(tensors, name, margins.copy(tensor))
    monkeypatch.setattr(torch, "empty_like", margins.empty_like)
    plain = Tensor.new_empty

    def new_empty(x: Tensor, shape: Any, **settings: Any) -> Tensor:
        # The interpreter's own have a device.
        function = plain if "device" in settings else margins.new_empty
        return function(x, shape, **settings)

    monkeypatch.setattr(Tensor, "new_empty", new_empty)
    got = compute(case, tensors, copies=False)
    assert len(margins.bases) >= 9
    assert margins.untouched()
    assert len(triton.backwards) == 2
    assert_same_bits(got, expected)


@layouts
def test_a_step_has_the_same_bits_each_time(layout: str, triton: WatchedBackend) -> None:
    case = _case(layout, masked=True, residual=True, activation="silu", dtype=torch.bfloat16)
    assert_same_bits(compute(case, Tensors(case)), compute(case, Tensors(case)))
    assert len(triton.backwards) == 2
