"""Running statistics of layers, read without hooks, which compiled code does not call."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from normwise.layers import LayerKind


def layers_that_learn(kinds: Mapping[str, LayerKind]) -> dict[str, nn.Module]:
    """Return the layers whose running statistics training updates, by path."""
    return {
        path: kind.layer
        for path, kind in kinds.items()
        if kind.learns_statistics
        and not kind.frozen
        and kind.initialised
        and kind.has_statistics
        and not {"running_mean", "running_var"} & set(kind.computed)
        and not kind.layer.running_mean.is_meta
    }


def broken(layers: Mapping[str, nn.Module]) -> list[str]:
    """Return the paths of the layers with statistics that are not finite, or with a negative variance."""
    sound = [
        layer.get_buffer("running_mean").isfinite().all()
        & (layer.get_buffer("running_var") >= 0).all()  # NaN is not
        & layer.get_buffer("running_var").isfinite().all()
        for layer in layers.values()
    ]
    return [path for path, is_sound in zip(layers, _numbers(sound), strict=True) if not is_sound]


def means(layers: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Return copies of the running means."""
    return {path: layer.get_buffer("running_mean").detach().clone() for path, layer in layers.items()}


def moved(layers: Mapping[str, nn.Module], before: Mapping[str, Tensor]) -> list[str]:
    """Return the paths of the layers whose running means have changed."""
    changed = [(layers[path].get_buffer("running_mean") != mean).any() for path, mean in before.items()]
    return [path for path, has in zip(before, _numbers(changed), strict=True) if has]


def counts(layers: Mapping[str, nn.Module]) -> dict[str, int]:
    """Return the batch counts of the layers that count; for several slots, of the first."""
    found = {path: layer._buffers.get("num_batches_tracked") for path, layer in layers.items()}
    counters = {path: counter for path, counter in found.items() if isinstance(counter, Tensor)}
    numbers = _numbers([counter.flatten()[0] for counter in counters.values()])
    return dict(zip(counters, map(int, numbers), strict=True))


def _numbers(scalars: list[Tensor]) -> list[float]:
    """Return the values of scalars, with one wait for the device instead of one for each."""
    return torch.stack([scalar.to(scalars[0].device) for scalar in scalars]).tolist() if scalars else []
