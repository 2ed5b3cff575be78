"""Outputs, gradients and buffers of our layers on the device against float64 on the CPU, over all options."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from benchmarks.cuda.place import Place
from normwise import nn
from normwise.activations import ACTIVATIONS
from normwise.benchmark.served_by import TORCH, layer_served_by

_FORMATS = {"NHWC": torch.channels_last, "NDHWC": torch.channels_last_3d}
#: A small and a larger shape of each order, none of them a multiple of anything; NHWC's small one is of aligned rows.
SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "NHWC": ((8, 64, 7, 7), (16, 70, 41, 39)),
    "NCHW": ((6, 37, 7, 7), (16, 70, 41, 39)),
    "(N, C)": ((60, 100), (5003, 257)),
    "NDHWC": ((4, 19, 3, 5, 7), (4, 40, 9, 21, 23)),
    "NCDHW": ((4, 19, 3, 5, 7), (4, 40, 9, 21, 23)),
    "(N, C, L)": ((7, 33, 65), (31, 129, 257)),
}
_DTYPES = (torch.bfloat16, torch.float32, torch.float16)
#: The most used come first: time may end before the cases do.
_ACTIVATIONS = (
    "relu",
    None,
    "leaky_relu",
    *(name for name in ACTIVATIONS if name not in ("relu", "leaky_relu")),
)
#: A gradient at an input so close to a kink of the activation is 0: which side it lies on is a matter of rounding.
_KINK = 1e-3


@dataclass(frozen=True)
class Options:
    """One way to call a layer."""

    order: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    activation: str | None
    training: bool
    residual: bool
    mask: bool
    inplace: bool
    momentum: float | None
    affine: bool
    running: bool
    same_type: bool

    def layer(self, device: str, dtype: torch.dtype, activation: str | None) -> Any:
        """Return our layer, with the same numbers wherever it is made."""
        kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[len(self.shape)]
        channels = self.shape[1]
        layer = kind(
            channels,
            momentum=self.momentum,
            affine=self.affine,
            track_running_stats=self.running,
            activation=activation,
            inplace=self.inplace,
        )
        generator = torch.Generator().manual_seed(channels)
        with torch.no_grad():
            for name, tensor in layer.state_dict().items():
                if name != "num_batches_tracked":
                    sign = 0.0 if name in ("weight", "running_var") else 1.5
                    # Numbers that every type has.
                    tensor.copy_(((torch.rand(channels, generator=generator) + 0.5 - sign) * 16).round() / 16)
        return layer.train(self.training).to(device, dtype)


def all_options(tiny: bool) -> list[Options]:
    """Return the cases: every order, type, mode and activation, with the other options by lot."""
    lot = random.Random(0)
    found: list[Options] = []
    for number, (activation, training, dtype, order) in enumerate(
        product(_ACTIVATIONS, (True, False), _DTYPES, SHAPES)
    ):
        residual, mask, inplace = lot.random() < 0.3, lot.random() < 0.25, lot.random() < 0.5
        invertible = activation is None or ACTIVATIONS[activation].invertible
        options = Options(
            order,
            SHAPES[order][0 if tiny else number // len(SHAPES) % 2],
            dtype,
            activation,
            training,
            residual,
            mask,
            inplace and invertible and not residual,
            lot.choice((0.1, 0.1, None)),
            lot.random() < 0.8,
            lot.random() < 0.8 or not training,
            lot.random() < 0.25,
        )
        found.append(options)
    return found[::31] if tiny else found


def check_values(place: Place) -> Iterator[dict[str, Any]]:
    """Yield one row: how many cases agreed, which did not, and which no backend covered."""
    number, parts = place.part
    cases = all_options(place.tiny)[number::parts]
    failed: list[str] = []
    uncovered: list[str] = []
    worst, done = 0.0, 0
    for options in cases:
        if not place.has(4):
            break
        try:
            error, what, served = _compare(options, place)
        except Exception as wrong:
            failed.append(f"{options}: {type(wrong).__name__}: {str(wrong)[:300]}")
            if "CUDA error" in str(wrong):
                yield _row(place, done, cases, failed, uncovered, worst)
                raise
            continue
        done += 1
        worst = max(worst, error)
        if not error <= 1:
            failed.append(f"{options}: {what} is {error:.3g} times as far from float64 as it may be")
        if served == TORCH:
            uncovered.append(str(options))
    yield _row(place, done, cases, failed, uncovered, worst)


def _row(
    place: Place, done: int, cases: list[Options], failed: list[str], uncovered: list[str], worst: float
) -> dict[str, Any]:
    # On a CPU torch's operators compute float16; on a GPU they should compute none of these.
    wrong = bool(failed) or (place.on_gpu and bool(uncovered))
    return {
        "check": f"values against float64: {done} of {len(cases)} cases",
        "ok": False if wrong else True if done else None,
        "detail": f"largest error over its tolerance {worst:.2f}; {len(uncovered)} by torch's operators"
        if done or wrong
        else "not checked: no time was left",
        "failed": failed[:20],
        "uncovered": uncovered[:20],
    }


def _compare(options: Options, place: Place) -> tuple[float, str, str]:
    generator = torch.Generator().manual_seed(1)
    shape, dtype = options.shape, options.dtype
    x, residual, grad = (
        torch.randn(shape, generator=generator).mul(1.5).add(0.5).to(dtype) for _ in range(3)
    )
    mask = None
    if options.mask:
        mask = torch.rand(shape[0], *shape[2:], generator=generator) < 0.7
        # Padding may hold anything.
        x = torch.where(mask.unsqueeze(1), x, float("nan"))
    plain = options.layer("cpu", torch.float64, None)
    kinks = () if options.activation is None else ACTIVATIONS[options.activation].kinks
    if kinks:
        plain.inplace = False
        z = plain(x.double(), residual=residual.double() if options.residual else None, mask=mask)
        for kink in kinks:
            near = _KINK + 4 * torch.finfo(dtype).eps * abs(kink)
            grad = torch.where((z.detach() - kink).abs() < near, 0, grad)
    reference = options.layer("cpu", torch.float64, options.activation)
    expected = _step(options, reference, x.double(), residual.double(), grad.double(), mask)
    parameters = dtype if options.same_type else torch.float32
    layer = options.layer(place.device, parameters, options.activation)
    on_device, added, grad = (
        tensor.to(place.device, memory_format=_FORMATS.get(options.order, torch.contiguous_format))
        for tensor in (x, residual, grad)
    )
    mask = None if mask is None else mask.to(place.device)
    served = layer_served_by(layer, on_device.clone(), added if options.residual else None, mask)
    got = _step(options, layer, on_device, added, grad, mask)
    count = int(x.numel() // shape[1]) if mask is None else int(mask.sum())
    errors = {
        name: _error(
            got[name].cpu().double(), wanted, _tolerance(name, wanted, options, parameters, count, served)
        )
        for name, wanted in expected.items()
    }
    largest = max(errors, key=lambda name: errors[name])
    return errors[largest], largest, served


def _step(
    options: Options, layer: Any, x: Tensor, residual: Tensor, grad: Tensor, mask: Tensor | None
) -> dict[str, Tensor]:
    """Return what two steps leave: the second one's output and gradients, and the buffers."""
    y, gradients = x, dict[str, Tensor]()
    for _ in range(2):
        leaf, added = x.clone().requires_grad_(), residual.clone().requires_grad_()
        # In place: a leaf may not be overwritten.
        y = layer(leaf * 1, residual=added if options.residual else None, mask=mask)
        names = ["grad_x", *(["grad_residual"] if options.residual else [])]
        names += [f"grad_{name}" for name, _ in layer.named_parameters()]
        leaves = [leaf, *([added] if options.residual else []), *layer.parameters()]
        gradients = dict(zip(names, torch.autograd.grad(y, leaves, grad), strict=True))
    return {"y": y.detach(), **gradients, **{name: buffer.clone() for name, buffer in layer.named_buffers()}}


def _tolerance(
    name: str, wanted: Tensor, options: Options, parameters: torch.dtype, count: int, served: str
) -> Tensor:
    """Return how far from float64 each value may be: its own type's rounding once, and that of sums in float32."""
    one, largest = torch.finfo(options.dtype).eps, max(float(wanted.abs().nan_to_num().max()), 1.0)
    # torch's operators round what one hands to the next.
    between = one if served == TORCH else 0.0
    if name == "num_batches_tracked":
        return torch.zeros((), dtype=torch.float64)
    if name in ("grad_x", "grad_residual", "y"):
        if name == "grad_x" and options.inplace:
            # The input is recomputed from the output, which was rounded.
            between = 16 * one
        elif name == "grad_x" and options.residual:
            # It may be computed from the residual's gradient, which was rounded.
            between = max(between, one)
        return one * wanted.abs() + (4e-6 + 4 * between) * largest
    own = torch.finfo(parameters).eps * wanted.abs()
    if name in ("grad_weight", "grad_bias"):
        # They may be sums of the residual's gradient, too, and each of its roundings is as likely up as down.
        rounded = (8 if options.inplace else 2 if options.residual else 0) * one * count**0.5
        return own + (1e-6 + between) * count + 1e-5 + rounded
    # Two steps round twice.
    return (2 * torch.finfo(parameters).eps + 1e-5 + between) * wanted.new_full(wanted.shape, largest)


def _error(got: Tensor, wanted: Tensor, tolerance: Tensor) -> float:
    """Return the largest error over its tolerance."""
    if got.shape != wanted.shape:
        return float("inf")
    excess = (got - wanted).abs() / tolerance.clamp(min=1e-300)
    return float("inf") if bool(excess.isnan().any()) else float(excess.max())
