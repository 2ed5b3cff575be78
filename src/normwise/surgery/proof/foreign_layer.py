"""Numerical proof, in float64, that another library's BN layer computes what its adapter describes."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normwise.layers import LayerKind
from normwise.statistics.preserve.preserve_model import unchanged
from normwise.surgery.core.decision import LeftError
from normwise.surgery.fold.algebra import scale_and_shift

#: Sizes after the channels to try if they are unknown.
_SIZES = ((3, 3), (3,), (), (3, 3, 3))


def check_foreign(kind: LayerKind, example: Tensor | None, *, trains: bool = False) -> None:
    """Check that a layer scales and shifts each channel by its tensors, and then calls its followers.

    It is tried on random numbers around its means, and on the example if there is one.

    Args:
        kind: Layer of another library.
        example: Input of the layer on an example; None without one.
        trains: Whether the layer must also normalise like torch's BN layers in training.

    Raises:
        LeftError: the layer computes something else, or can't be tried.
    """
    channels = kind.layer.get_buffer("running_mean").numel()
    shapes = [(4, channels, *sizes) for sizes in _SIZES] if example is None else [tuple(example.shape)]
    failures: list[LeftError] = []
    for shape in shapes:
        try:
            for x in _inputs(kind, shape, example):
                _try(kind, x, training=False)
                if trains:
                    _try(kind, x, training=True)
            return
        except LeftError as left:
            failures.append(left)
    raise failures[0]


def _inputs(kind: LayerKind, shape: Sequence[int], example: Tensor | None) -> Iterator[Tensor]:
    mean = kind.layer.get_buffer("running_mean")
    dtype = mean.dtype if mean.is_floating_point() else torch.get_default_dtype()
    generator = torch.Generator().manual_seed(0)
    # Around the mean, with about the layer's deviation; in float64 on the CPU, since not every device has it.
    variance = kind.layer.get_buffer("running_var").detach().cpu().double().clamp_min(1e-12)
    noise = torch.randn(tuple(shape), generator=generator, dtype=torch.float64)
    yield (_by_channel(mean.detach().cpu().double(), noise) + _by_channel(variance.sqrt(), noise) * noise).to(
        dtype
    )
    if example is not None and example.is_floating_point():
        yield example.detach().cpu().to(dtype)


def _try(kind: LayerKind, x: Tensor, *, training: bool) -> None:
    layer: nn.Module = kind.layer
    with unchanged(layer), torch.no_grad():
        layer.train(training)
        # Without hooks, which would see the trial.
        try:
            got = type(layer).forward(layer, x.to(layer.get_buffer("running_mean").device, copy=True))
        except Exception as error:  # another library's forward may raise anything
            raise LeftError(f"it can't be tried on random numbers ({error}); pass an example") from None
        moved = layer.get_buffer("running_mean").detach().clone()
    expected, size, mean = _expected(kind, x.double(), training=training)
    close = torch.finfo(x.dtype).eps ** 0.5
    if (
        not isinstance(got, Tensor)
        or got.shape != x.shape
        or not ((got.cpu().double() - expected).abs() <= close * size).all()
        or not torch.allclose(moved.cpu().double(), mean, rtol=close, atol=close * (1 + x.abs().max().item()))
    ):
        where = " in training" if training else ""
        held = getattr(layer, "eps", None)
        epsilon = (
            f"an ε of {kind.eps:g}, since it has none of its own" if held is None else f"its ε of {held}"
        )
        follows = "".join(f", and {name} behind it" for name in kind.followers)
        raise LeftError(
            f"{type(layer).__name__} computes something else{where} than batch normalization by its buffers, with "
            f"{epsilon}{follows}"
        )


def _expected(kind: LayerKind, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the output in float64, the size of its summands, and the running mean afterwards."""
    layer: Any = kind.layer
    scale, shift = scale_and_shift(layer)
    mean = layer.get_buffer("running_mean").detach().cpu().double()
    if training:
        tensors = {**layer._parameters, **layer._buffers}
        weight, bias, var = (
            None
            if (tensor := tensors.get(name)) is None
            else tensor.detach().to("cpu", torch.float64, copy=True)
            for name in ("weight", "bias", "running_var")
        )
        tracks, momentum = layer.track_running_stats, layer.momentum
        counter = tensors.get("num_batches_tracked")
        if momentum is None:
            momentum = 1.0 if counter is None else 1.0 / (int(counter) + 1)
        mean = mean.clone()
        y = F.batch_norm(
            x, mean if tracks else None, var if tracks else None, weight, bias, True, float(momentum), kind.eps
        )  # fmt: skip
        # Values of a batch with small differences are rounded before they are scaled up.
        spread = _by_channel((x.var([0, *range(2, x.dim())], correction=0) + kind.eps).sqrt(), x)
        gain = 1.0 if weight is None else _by_channel(weight.abs(), x)
        size = y.abs() + 1 + gain * x.abs() / spread
    else:
        y = _by_channel(scale, x) * x + _by_channel(shift, x)
        size = (_by_channel(scale, x) * x).abs() + _by_channel(shift, x).abs()
    with unchanged(layer), torch.no_grad():
        for name, module in kind.followers.items():
            try:
                y = copy.deepcopy(module).train(training).cpu().double()(y)
            except Exception as error:
                raise LeftError(f"its {name} can't be tried in float64 ({error})") from None
            if not isinstance(y, Tensor) or y.shape != x.shape:
                raise LeftError(f"its {name} gives something else than a value for each of its input")
    return y, size, mean


def _by_channel(value: Tensor, x: Tensor) -> Tensor:
    return value.reshape(1, -1, *[1] * (x.dim() - 2))
