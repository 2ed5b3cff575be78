"""Faults of numbers: BN4xx."""

from typing import Any

import torch
from torch import Tensor, nn

import normwise
from benchmarks.doctor_calibration.plants.plant import (
    FEED_FORWARD,
    WITH_UNITS,
    Plants,
    before_activation,
    norms,
    weighted_before_norms,
)
from benchmarks.doctor_calibration.trained import Trained
from normwise.doctor import Case
from normwise.layers import batch_norms

plants = Plants()
_LOSS = nn.CrossEntropyLoss()


@plants.add(
    "BN401",
    "model in",
    {
        "bfloat16": (torch.bfloat16, True),
        "bfloat16, no data": (torch.bfloat16, False),
        "float16, no data": (torch.float16, False),
    },
    on=FEED_FORWARD,
)
def half(base: Trained, how: tuple[torch.dtype, bool]) -> Case:
    """Cast the whole model."""
    dtype, with_data = how
    model = base.model().to(dtype)
    return Case(model, [(x.to(dtype), y) for x, y in base.test()], _LOSS) if with_data else Case(model)


class _WithInputNorm(nn.Module):
    def __init__(self, model: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.norm, self.model = norm, model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(self.norm(x))


@plants.add(
    "BN402",
    "BN of inputs near 100 000 with a momentum of",
    {"0.001": 1e-3, "0.0001": 1e-4},
    on=("cnn", "resnet"),
    models=5,
)
def stalled(base: Trained, momentum: float) -> Case:
    """Put BN before inputs of a large mean, in float32, whose running mean is a little off."""
    norm = nn.BatchNorm2d(1, momentum=momentum)
    norm.running_mean.fill_(1e5 + 0.25)  # type: ignore[union-attr]
    norm.running_var.fill_(base.x.var())  # type: ignore[union-attr]
    with torch.no_grad():
        norm.weight.fill_(base.x.std())
        norm.bias.fill_(base.x.mean())
    model = _WithInputNorm(base.model(), norm)
    batches = [(x + 1e5, y) for x, y in base.batches(20)]
    return Case(model, batches, _LOSS, base.optimizer(model))


@plants.add("BN403", "ε far too large:", {"1": 1.0, "10": 10.0}, on=FEED_FORWARD)
def large_eps(base: Trained, eps: float) -> Case:
    """Raise ε, and train on."""
    model = base.model()
    for norm in norms(model).values():
        norm.eps = eps
    base.learn(model, 100)
    normwise.calibrate(model, base.loader())
    return Case(model, base.test(), _LOSS)


@plants.add("BN403", "weights before BN times 0.001", on=WITH_UNITS, suits=before_activation)
def small_weights(base: Trained) -> Case:
    """Scale weights, which BN would cancel if ε were 0."""
    model = base.model()
    with torch.no_grad():
        for layer, norm in weighted_before_norms(model).values():
            layer.weight *= 1e-3
            norm.running_mean *= 1e-3  # type: ignore[operator]
            norm.running_var *= 1e-6  # type: ignore[operator]
    normwise.calibrate(model, base.loader())
    return Case(model, base.test(), _LOSS)


class _Mixed(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return self.model(x).float()


@plants.add(
    "BN404",
    "mean of",
    {"500 σ in bfloat16": 500.0, "100 σ in bfloat16": 100.0},
    on=WITH_UNITS,
    models=5,
    suits=before_activation,
)
def large_mean(base: Trained, size: float) -> Case:
    """Give the layers before BN a large bias, and compute in bfloat16."""
    model = base.model()
    with torch.no_grad():
        for layer, norm in weighted_before_norms(model).values():
            shift: Any = size * norm.running_var.sqrt()  # type: ignore[operator,union-attr]
            layer.bias = nn.Parameter(shift)
            norm.running_mean += shift
    mixed = _Mixed(model)
    normwise.calibrate(mixed, base.loader())
    return Case(mixed, base.test(), _LOSS)


@plants.add(
    "BN405",
    "most channels dead:",
    {"no input": True, "always below 0": False},
    on=WITH_UNITS,
    models=5,
    suits=before_activation,
)
def dead(base: Trained, by_weights: bool) -> Case:
    """Kill seven tenths of the channels of the last unit, and collect statistics."""
    model = base.model()
    *_, (layer, norm) = weighted_before_norms(model).values()
    count = int(0.7 * norm.num_features)  # type: ignore[operator]
    with torch.no_grad():
        if by_weights:
            layer.weight[:count] = 0
            norm.running_mean[:count] = 0  # type: ignore[index]
            norm.running_var[:count] = 0  # type: ignore[index]
        else:
            norm.weight[:count] = 0.1  # type: ignore[index]
            norm.bias[:count] = -5  # type: ignore[index]
    normwise.calibrate(model, base.loader())
    return Case(model, base.test(), _LOSS)


@plants.add("BN406", "a batch with", {"NaN": float("nan"), "∞": float("inf")}, models=5)
def broken_batch(base: Trained, value: float) -> Case:
    """Put a number that is none into one batch."""
    batches = [(x.clone(), y) for x, y in base.test()]
    batches[2][0][3] = value
    return Case(base.model(), batches, _LOSS)


@plants.add(
    "BN406", "weights that make variances nearly overflow", on=WITH_UNITS, models=5, suits=before_activation
)
def overflow(base: Trained) -> Case:
    """Scale the weights of the first unit by 10¹⁸."""
    model = base.model()
    layer, norm = next(iter(weighted_before_norms(model).values()))
    with torch.no_grad():
        layer.weight *= 1e18
        norm.running_mean *= 1e18  # type: ignore[operator]
        norm.running_var *= 1e36  # type: ignore[operator]
    return Case(model, base.loader(), _LOSS, base.optimizer(model, decay=0.0))


@plants.add("BN407", "γ of most channels", {"0.00001": 1e-5, "0": 0.0}, models=5)
def small_scale(base: Trained, size: float) -> Case:
    """Make most γ of every layer small, as weight decay without a limit does."""
    model = base.model()
    for norm in batch_norms(model).values():
        weight = norm.layer.get_parameter("weight")
        with torch.no_grad():
            weight[: int(0.8 * len(weight))] *= size
    normwise.calibrate(model, base.loader())
    return Case(model, base.test(), _LOSS)
