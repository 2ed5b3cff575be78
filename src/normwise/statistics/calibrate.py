"""Exact running statistics from data."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from normwise.errors import ArgumentError
from normwise.find import batch_norm_layers
from normwise.statistics.modes import evaluating
from normwise.statistics.moments import Moments


def calibrate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running statistics by those of the data, consistent with evaluation.

    Layer by layer in the order of execution: each sees its inputs over all batches as evaluation will
    show them, normalised by the final statistics of the layers before it, and takes their mean and
    Bessel-corrected variance, whatever the sizes of the batches, over the real positions alone where a mask
    is given to it. That costs one evaluation pass a layer.

    Layers that are never reached, or that see fewer than two values a channel, keep what they have.
    Modes come back as they were; if anything raises, so do all statistics.

    Args:
        model: Any model with BN layers, torch's or ours.
        batches: Inputs, ``(N, C, *)``; iterated once for each layer and once before, so no generator.

    Raises:
        ArgumentError: ``batches`` is an iterator that can be read only once.
    """
    if iter(batches) is batches:
        raise ArgumentError(
            "batches are read once for each BN layer; pass a list or a DataLoader, no iterator"
        )
    layers = [layer for layer in batch_norm_layers(model).values() if layer.running_mean is not None]
    before = {layer: [buffer.clone() for buffer in layer.buffers()] for layer in layers}
    try:
        with evaluating(model):
            for layer in _in_order_of_execution(model, layers, batches):
                moments = _input_moments(model, layer, batches)
                if moments.count > 1 and layer.running_mean is not None and layer.running_var is not None:
                    layer.running_mean.copy_(moments.mean)
                    layer.running_var.copy_(moments.unbiased_variance)
    except BaseException:
        for layer, buffers in before.items():
            for buffer, value in zip(layer.buffers(), buffers, strict=True):
                buffer.copy_(value)
        raise


@torch.no_grad()
def _in_order_of_execution(
    model: nn.Module, layers: list[nn.modules.batchnorm._BatchNorm], batches: Iterable[Tensor]
) -> list[nn.modules.batchnorm._BatchNorm]:
    reached: dict[nn.Module, None] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda called, _: reached.setdefault(called)) for layer in layers
    ]
    try:
        for batch in batches:
            model(batch)
            if len(reached) == len(layers):
                break
    finally:
        for hook in hooks:
            hook.remove()
    by_module: dict[nn.Module, nn.modules.batchnorm._BatchNorm] = {layer: layer for layer in layers}
    return [by_module[layer] for layer in reached]


@torch.no_grad()
def _input_moments(
    model: nn.Module, layer: nn.modules.batchnorm._BatchNorm, batches: Iterable[Tensor]
) -> Moments:
    seen = Moments.of(torch.empty(0, layer.num_features))

    def add(_: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Any], output: Tensor) -> None:
        nonlocal seen
        values: Tensor = inputs[0] if inputs else named["input"]
        mask = named.get("mask")
        seen = seen + Moments.of(values if mask is None else values.movedim(1, -1)[mask])

    # Behind the layer, which has then checked its mask.
    hook = layer.register_forward_hook(add, with_kwargs=True)
    try:
        for batch in batches:
            model(batch)
    finally:
        hook.remove()
    return seen
