"""Errors against float64 on inputs that are hard for sums, beside those of torch's own kernels on the device."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.cuda.place import Place
from normwise import nn

_SHAPES = {"NHWC": (17, 67, 31, 29), "NCHW": (17, 67, 31, 29), "(N, C)": (15013, 67)}


def _outlier(x: Tensor) -> Tensor:
    x.flatten(2)[0, :, :1] = 1e4
    return x


def _huge(x: Tensor) -> Tensor:
    x.flatten(2)[1, 3, -1] = 1e18
    return x


_INPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "ordinary": lambda x: x,
    "mean 1e6, deviation 1": lambda x: x + 1e6,
    "an outlier first": _outlier,
    "denormals": lambda x: x * 1e-39,
    "a huge value in a channel": _huge,
    "drifting along the batch": lambda x: (
        x + torch.linspace(0, 1e3, x.shape[0]).view(-1, *[1] * (x.dim() - 1))
    ),
}


def check_exactness(place: Place) -> Iterator[dict[str, Any]]:
    """Yield a row for each input: the errors of the output and the input's gradient, ours and torch's, in units.

    A unit is float32's rounding of the largest value of a channel. Ours may be torch's and one more.
    """
    for name, change in _INPUTS.items():
        told: list[str] = []
        ok = True
        for order, shape in _SHAPES.items():
            torch.manual_seed(0)
            x = change(torch.randn(*shape[:2], *(shape[2:] or (1,)))).view(shape)
            grad = torch.randn(shape)
            wanted = _step(
                torch.nn.BatchNorm2d if len(shape) == 4 else torch.nn.BatchNorm1d, x.double(), grad.double()
            )
            format_ = torch.channels_last if order == "NHWC" else torch.contiguous_format
            given = [tensor.to(place.device).contiguous(memory_format=format_) for tensor in (x, grad)]
            theirs = torch.nn.BatchNorm2d if len(shape) == 4 else torch.nn.BatchNorm1d
            ours = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
            errors = [
                [_units(got, expected) for got, expected in zip(_step(kind, *given), wanted, strict=True)]
                for kind in (ours, theirs)
            ]
            fits = all(mine <= torchs + 1 for mine, torchs in zip(*errors, strict=True))
            ok = ok and fits
            mine, torchs = ("/".join(f"{value:.1f}" for value in column) for column in errors)
            told.append(f"{order} ours {mine}, torch {torchs}{'' if fits else ' (!)'}")
        yield {
            "check": f"errors in units of float32, output/gradient, {name}",
            "ok": ok,
            "detail": "; ".join(told),
        }


def _step(kind: Any, x: Tensor, grad: Tensor) -> list[Tensor]:
    layer = kind(x.shape[1], device=x.device, dtype=x.dtype)
    leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y = layer(leaf)
    return [y.detach(), *torch.autograd.grad(y, leaf, grad)]


def _units(got: Tensor, expected: Tensor) -> float:
    axes = (0, *range(2, expected.dim()))
    largest = expected.abs().amax(axes, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    errors = (got.cpu().double() - expected).abs() / largest / torch.finfo(torch.float32).eps
    return float("inf") if bool(errors.isnan().any()) else float(errors.max())
