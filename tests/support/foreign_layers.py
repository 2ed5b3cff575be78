"""Classes with the names, modules and structure of other libraries' norm layers, in words of our own."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _from(module: str) -> Callable[[type[Any]], type[Any]]:
    def place(kind: type[Any]) -> type[Any]:
        kind.__module__ = module
        return kind

    return place


class _Constants(nn.Module):
    def __init__(self, channels: int, eps: float | None = None) -> None:
        super().__init__()
        if eps is not None:
            self.eps = eps
        self.num_features = channels
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), value))

    def scaled(self, x: Tensor, eps: float) -> Tensor:
        scale = self.get_buffer("weight") * (self.get_buffer("running_var") + eps).rsqrt()
        shift = self.get_buffer("bias") - self.get_buffer("running_mean") * scale
        return x * scale.reshape(1, -1, 1, 1) + shift.reshape(1, -1, 1, 1)


def _frozen(module: str, name: str, forward: Callable[[Any, Tensor], Tensor], eps: float | None) -> Any:
    def __init__(self: Any, channels: int) -> None:
        _Constants.__init__(self, channels, eps)

    return _from(module)(type(name, (_Constants,), {"__init__": __init__, "forward": forward}))


def _by_function(layer: Any, x: Tensor) -> Tensor:
    return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps)


#: Frozen BN by library, and the ε that each adds.
FROZEN: dict[str, tuple[Any, float]] = {
    "torchvision": (
        _frozen("torchvision.ops.misc", "FrozenBatchNorm2d", lambda s, x: s.scaled(x, s.eps), 1e-3),
        1e-3,
    ),
    "torchvision 0.6": (
        _frozen("torchvision.ops.misc", "FrozenBatchNorm2d", lambda s, x: s.scaled(x, 0.0), None),
        0.0,
    ),
    "detectron2": (_frozen("detectron2.layers.batch_norm", "FrozenBatchNorm2d", _by_function, 1e-2), 1e-2),
    "maskrcnn-benchmark": (
        _frozen(
            "maskrcnn_benchmark.layers.batch_norm", "FrozenBatchNorm2d", lambda s, x: s.scaled(x, 0.0), None
        ),
        0.0,
    ),
    "a fork of maskrcnn-benchmark": (
        _frozen(
            "maskrcnn_benchmark.layers.batch_norm", "FrozenBatchNorm2d", lambda s, x: s.scaled(x, 1e-5), None
        ),
        1e-5,
    ),
    "DETR": (_frozen("models.backbone", "FrozenBatchNorm2d", lambda s, x: s.scaled(x, 1e-5), None), 1e-5),
    "transformers": (
        _frozen(
            "transformers.models.rt_detr.modeling_rt_detr",
            "RTDetrFrozenBatchNorm2d",
            lambda s, x: s.scaled(x, 1e-5),
            None,
        ),
        1e-5,
    ),
    "a copy of it": (_frozen("mine.layers", "FrozenBatchNorm2d", lambda s, x: s.scaled(x, 1e-5), None), 1e-5),
}


class _Act(nn.BatchNorm2d):
    def __init__(
        self, channels: int, act: nn.Module | None = None, drop: nn.Module | None = None, **options: Any
    ) -> None:
        super().__init__(channels, **options)
        self.drop = nn.Identity() if drop is None else drop
        self.act = nn.ReLU(inplace=True) if act is None else act


@_from("timm.layers.norm_act")
class BatchNormAct2d(_Act):
    """timm's: torch's BN, then ``drop`` and ``act``."""

    def forward(self, input: Tensor) -> Tensor:
        x = input
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        momentum = self.momentum
        if momentum is None:
            momentum = (
                1 / float(self.num_batches_tracked) if self.training and self.num_batches_tracked else 0.0
            )
        mean, var = self.running_mean, self.running_var
        used = (mean, var) if not self.training or self.track_running_stats else (None, None)
        by_batch = self.training or (mean is None and var is None)
        x = F.batch_norm(x, *used, self.weight, self.bias, by_batch, momentum, self.eps)
        return self.act(self.drop(x))


@_from("timm.layers.norm_act")
class SyncBatchNormAct(nn.SyncBatchNorm):
    """timm's: what its BN layers become for several processes."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), nn.SiLU()

    def forward(self, input: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(input)))


@_from("timm.layers.norm_act")
class FrozenBatchNormAct2d(_Constants):
    """timm's: constants, then ``drop`` and ``act``."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 1e-3)
        self.drop, self.act = nn.Identity(), nn.Hardswish()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(self.scaled(x, self.eps)))


def randomise(model: nn.Module, seed: int = 0) -> Any:
    """Give all norm layers tensors with which no operation is trivial."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            tensors = module._parameters | module._buffers
            for name, low, high in (
                ("weight", 0.5, 1.5), ("bias", -0.5, 0.5), ("running_mean", -1.0, 1.0), ("running_var", 0.01, 0.2),
            ):  # fmt: skip
                tensor = tensors.get(name)
                if tensor is not None and "running_mean" in tensors:
                    tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))
    return model
