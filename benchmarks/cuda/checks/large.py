"""Tensors of more than 2³¹ elements: a batch that is one sample many times has that sample's outputs and gradients."""

from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.cuda.place import Place
from normwise import nn

_SHAPES: dict[str, tuple[int, ...]] = {
    "NHWC": (33, 64, 1024, 1024),
    "NCHW": (33, 64, 1024, 1024),
    "(N, C)": (33 << 18, 256),
}
_TINY: dict[str, tuple[int, ...]] = {"NHWC": (3, 8, 8, 8), "NCHW": (3, 8, 8, 8), "(N, C)": (33, 8)}


def check_large(place: Place) -> Iterator[dict[str, Any]]:
    """Yield a row for each order of memory; ``ok`` is None where no such tensor was made."""
    for order, shape in (_TINY if place.tiny else _SHAPES).items():
        row: dict[str, Any] = {"check": f"more than 2³¹ elements, {order}", "ok": True, "detail": ""}
        try:
            row["detail"] = _compare(place, order, shape)
            if place.tiny:
                row |= {"ok": None, "detail": f"not checked: the tensor of a dry run has {row['detail']}"}
        except torch.OutOfMemoryError:
            row |= {"ok": None, "detail": "not checked: there is not memory enough"}
        except Exception as wrong:
            row |= {"ok": False, "detail": f"{type(wrong).__name__}: {str(wrong)[:300]}"}
            if "CUDA error" in str(wrong):
                yield row
                raise
        place.release()
        yield row


def _compare(place: Place, order: str, shape: tuple[int, ...]) -> str:
    elements = torch.Size(shape).numel()
    torch.manual_seed(0)
    # A thirty-third of the batch, and what lies behind 2³¹ elements is the last copy of it.
    copies = 3 if place.tiny else 33
    part = (shape[0] // copies, *shape[1:])
    memory_format = torch.channels_last if order == "NHWC" else torch.contiguous_format
    small, grad = (
        torch.randn(part, device=place.device, dtype=torch.bfloat16).contiguous(memory_format=memory_format)
        for _ in range(2)
    )
    kind = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
    expected = _step(kind, small, grad)
    whole = [
        torch.empty(shape, device=place.device, dtype=torch.bfloat16, memory_format=memory_format)
        for _ in "xg"
    ]
    for tensor, one in zip(whole, (small, grad), strict=True):
        for copy in tensor.chunk(copies):
            copy.copy_(one)
    found = _step(kind, *whole)
    for name, tensor, wanted in zip(("output", "gradient"), found[:2], expected[:2], strict=True):
        first, *_, last = tensor.chunk(copies)
        if not torch.equal(first, last):
            raise AssertionError(f"the {name} of the last copy is not that of the first")
        torch.testing.assert_close(first, wanted, rtol=2e-2, atol=2e-3)
    torch.testing.assert_close(found[2], expected[2], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        found[3] / copies, expected[3], rtol=1e-3, atol=elements / copies / shape[1] * 1e-5
    )
    return f"{elements:,} elements"


def _step(kind: Any, x: torch.Tensor, grad: torch.Tensor) -> list[torch.Tensor]:
    layer = kind(x.shape[1], activation="relu", device=x.device)
    leaf = x.detach().requires_grad_()
    y = layer(leaf)
    grad_x, grad_weight = torch.autograd.grad(y, [leaf, layer.weight], grad)
    return [y.detach(), grad_x, layer.running_mean, grad_weight]
