"""Layers synchronised over real processes, against one process with the whole batch."""

from typing import Any

import pytest
import torch
from torch import Tensor

from normwise.nn import SyncBatchNorm
from tests.support.processes import run

#: Samples on each rank.
SPLITS = [(4, 4), (1, 5), (0, 6), (2, 0, 17), (1, 1)]


def _whole(samples: int, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(samples)
    x, grad, residual = (
        torch.randn(samples, *shape, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    return (x * 3 + 100).to(dtype), grad.to(dtype), residual.to(dtype)


def _layer(
    kind: Any, channels: int, dtype: torch.dtype, activation: str | None, momentum: float | None
) -> Any:
    layer = kind(channels, activation=activation, momentum=momentum, dtype=dtype)
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(0.5, 1.5, channels))
        layer.bias.copy_(torch.linspace(-1, 1, channels))
    return layer


def _step(
    layer: Any, x: Tensor, grad: Tensor, residual: Tensor | None, mask: Tensor | None
) -> dict[str, Tensor]:
    x = x.clone().requires_grad_()
    residual = None if residual is None else residual.clone().requires_grad_()
    y = layer(x, residual=residual, mask=mask)
    # A sum over one sample is a view, which may become the gradient of β, to be added to in place.
    y.backward(grad.clone())
    assert x.grad is not None
    return {
        "y": y.detach(),
        "x": x.grad,
        "residual": torch.zeros(len(x)) if residual is None or residual.grad is None else residual.grad,
        "weight": layer.weight.grad.clone(),
        "bias": layer.bias.grad.clone(),
        **{name: buffer.clone() for name, buffer in layer.named_buffers()},
    }


def _cases() -> list[dict[str, Any]]:
    return [
        {"shape": (3,), "dtype": torch.float64},
        {"shape": (3, 5), "dtype": torch.float64, "masked": True, "momentum": None},
        {"shape": (300, 2), "dtype": torch.float64},
        {"shape": (4, 3, 2), "dtype": torch.float32, "activation": "relu", "residual": True},
        {
            "shape": (2, 2, 3, 2),
            "dtype": torch.float32,
            "activation": "gelu",
            "residual": True,
            "masked": True,
        },
    ]


def _one_case(kind: Any, split: tuple[int, ...], rank: int | None, case: dict[str, Any]) -> dict[str, Tensor]:
    shape, dtype = case["shape"], case["dtype"]
    x, grad, residual = _whole(sum(split), shape, dtype)
    mask = torch.rand(sum(split), *shape[1:], generator=torch.Generator().manual_seed(9)) < 0.7
    parts = [tensor if rank is None else tensor.split(split)[rank] for tensor in (x, grad, residual, mask)]
    layer = _layer(kind, shape[0], dtype, case.get("activation"), case.get("momentum", 0.1))
    with_residual, masked = case.get("residual"), case.get("masked")
    found = [
        _step(
            layer,
            parts[0] + shift,
            parts[1],
            parts[2] if with_residual else None,
            parts[3] if masked else None,
        )
        for shift in (0, 1)
    ]
    return {f"{name}{step}": value for step, values in enumerate(found) for name, value in values.items()}


def _on_rank(rank: int, split: tuple[int, ...]) -> list[dict[str, Tensor]]:
    return [_one_case(SyncBatchNorm, split, rank, case) for case in _cases()]


@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_ranks_compute_what_one_process_computes_with_the_whole_batch(split: tuple[int, ...]) -> None:
    ranks = run(_on_rank, len(split), split)
    for case, *parts in zip(_cases(), *ranks, strict=True):
        expected = _one_case(SyncBatchNorm, split, None, case)
        tolerance = 1e-9 if case["dtype"] is torch.float64 else 2e-5
        for name, value in expected.items():
            of_ranks = [part[name] for part in parts]
            kind = name[:-1]
            if kind in ("y", "x", "residual"):
                found = torch.cat(of_ranks)
            elif kind in ("weight", "bias"):
                found = torch.stack(of_ranks).sum(0)
            else:
                assert all(torch.equal(of_ranks[0], other) for other in of_ranks)
                found = of_ranks[0]
            label = f"{case} {name}: "
            torch.testing.assert_close(
                found, value, atol=tolerance, rtol=tolerance, msg=lambda text, label=label: label + text
            )
