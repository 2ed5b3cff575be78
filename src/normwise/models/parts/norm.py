"""The normalization layers that a network can be built with, by name."""

from collections.abc import Callable
from typing import Any

from torch import nn

from normwise.errors import ModelError
from normwise.models.parts.batch_norm_and_bias import BatchNormAndBias
from normwise.models.parts.channel_noise import ChannelNoise
from normwise.nn import (
    BatchNorm1d,
    BatchNorm2d,
    BatchRenorm1d,
    BatchRenorm2d,
    GhostBatchNorm1d,
    GhostBatchNorm2d,
)
from normwise.nn.group_count import groups_of

#: Function from the numbers of channels and of spatial axes (0 after a dense layer, 2 for images) to the
#: layer.
NormFactory = Callable[[int, int], nn.Module]
NormChoice = str | NormFactory


def _batch(channels: int, axes: int, **options: Any) -> nn.Module:
    return BatchNorm1d(channels, **options) if axes == 0 else BatchNorm2d(channels, **options)


def _noisy_batch(channels: int, axes: int) -> nn.Module:
    return nn.Sequential(_batch(channels, axes), ChannelNoise())


def _ghost(channels: int, axes: int, samples: int = 32) -> nn.Module:
    kind = GhostBatchNorm1d if axes == 0 else GhostBatchNorm2d
    return kind(channels, virtual_batch_size=samples)


def _renorm(channels: int, axes: int, steps: int | None = None) -> nn.Module:
    kind = BatchRenorm1d if axes == 0 else BatchRenorm2d
    if steps is None:
        return kind(channels)
    return kind(channels, warmup_steps=steps // 8, r_max_steps=steps // 2, d_max_steps=steps // 2)


def _none(channels: int, axes: int) -> nn.Module:
    return nn.Identity()


def _layer(channels: int, axes: int) -> nn.Module:
    # Over channels and positions of one sample, which for images is a GroupNorm of a single group.
    return nn.LayerNorm(channels) if axes == 0 else nn.GroupNorm(1, channels)


def _group(channels: int, axes: int) -> nn.Module:
    return nn.GroupNorm(groups_of(channels), channels)


def _instance(channels: int, axes: int) -> nn.Module:
    if axes == 0:
        raise ModelError(
            "norm='instance' normalises over the positions of an image, and a dense layer's output has none; "
            "use 'batch', 'layer' or 'group' for this network"
        )
    return nn.InstanceNorm2d(channels, affine=True)


def _batch_and_bias(channels: int, axes: int) -> nn.Module:
    return BatchNormAndBias(_batch(channels, axes), channels)


NORMS: dict[str, NormFactory] = {
    "batch": _batch,
    "batch_and_bias": _batch_and_bias,
    "noisy_batch": _noisy_batch,
    "ghost": _ghost,
    "renorm": _renorm,
    "none": _none,
    "layer": _layer,
    "group": _group,
    "instance": _instance,
}


#: Norms that take a number behind their name and a colon: the samples of a virtual batch, as in "ghost:8"; the steps of
#: a run, of which an eighth is without correction and at the half of which the limits are reached, as in "renorm:400".
_NUMBERED: dict[str, Callable[[int, int, int], nn.Module]] = {"ghost": _ghost, "renorm": _renorm}


def norm_factory(norm: NormChoice) -> NormFactory:
    """Return the factory of a name, or the given factory.

    Raises:
        ModelError: no such name.
    """
    if callable(norm):
        return norm
    name, colon, number = norm.partition(":")
    if colon and name == "batch":
        options = _batch_options(norm, number)
        return lambda channels, axes: _batch(channels, axes, **options)
    if colon and name in _NUMBERED and number.isascii() and number.isdigit() and int(number) > 0:
        numbered = _NUMBERED[name]
        return lambda channels, axes: numbered(channels, axes, int(number))
    if norm not in NORMS:
        raise ModelError(
            f"unknown norm {norm!r}; known are {', '.join(NORMS)}, ghost:SAMPLES, renorm:STEPS and "
            f"batch:OPTION=NUMBER,..., of the options {', '.join(_OPTIONS)}"
        )
    return NORMS[norm]


#: Options of BN that may stand behind its name, as in "batch:momentum=0.01,eps=0.001"; affine=0 is without γ and β.
_OPTIONS: dict[str, Callable[[float], Any]] = {"eps": float, "momentum": float, "affine": bool}


def _batch_options(norm: str, given: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for part in given.split(","):
        name, _, number = part.partition("=")
        try:
            options[name] = _OPTIONS[name](float(number))
        except (KeyError, ValueError):
            raise ModelError(
                f"norm {norm!r}: {part!r} is not an option of BN; expected OPTION=NUMBER, of the options "
                f"{', '.join(_OPTIONS)}"
            ) from None
    return options
