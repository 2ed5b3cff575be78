"""Scale and offset by which data differ from those that running statistics were collected on."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normwise.doctor.facts.model.norm_facts import NormFacts
from normwise.doctor.facts.passes.flow import Flow
from normwise.doctor.facts.passes.running_statistics import error_of

#: Channels of less variance than this part of the mean one say nothing about a scale.
_DEAD = 1e-6
#: Scatter of the factor among channels that passes for none, as a share of it.
_UNIFORM = 0.1
#: Means that moved by less, in σ, are taken for noise of the running average.
_NOTABLE = 0.15


@dataclass(frozen=True)
class InputShift:
    """The change of the data that a layer's statistics tell of.

    Attributes:
        scale: Factor by which values vary more than those that the running statistics are of: the median over channels;
            negative where that alone explains the means.
        spread: Scatter of that factor among channels, as a share of it; 0 where one factor explains all variances.
        offset: What was added to the data, after the factor; 0 for nothing beyond noise, and NaN where the weights
            before the layer do not tell.
        left: Error of values normalised by the old statistics after that change, in σ.
    """

    scale: float
    spread: float
    offset: float
    left: float

    @property
    def is_uniform(self) -> bool:
        """True where one factor explains the variances of all channels, within a tenth."""
        return self.spread < _UNIFORM

    @property
    def is_notable(self) -> bool:
        """True where the factor is not 1 but for noise, or something was added."""
        return abs(self.scale - 1) > _UNIFORM or (self.offset != 0 and not math.isnan(self.offset))


def input_shift(norm: NormFacts, exact: tuple[Tensor, Tensor], before: nn.Module | None) -> InputShift | None:
    """Return the change of the data that statistics of a layer that sees them first tell of; None for nothing.

    Args:
        norm: The layer; its running statistics are those of the old data.
        exact: Mean and variance of the new data there.
        before: The convolution or linear layer before it, as :func:`layer_before` gives it.
    """
    if norm.mean is None or norm.variance is None or norm.mean.shape != exact[0].shape:
        return None
    old_mean, old = norm.mean.double(), norm.variance.double()
    mean, new = exact[0].double(), exact[1].double()
    alive = (old > _DEAD * old.mean()) & (new > _DEAD * new.mean())
    if int(alive.sum()) == 0 or not bool((old.isfinite() & new.isfinite() & old_mean.isfinite()).all()):
        return None
    factors = (new[alive] / old[alive]).log() / 2
    middle = factors.median()
    # Nine of ten channels: single ones are hardly ever active.
    spread = (factors - middle).abs().quantile(0.9).item()
    scale = middle.exp().item()
    bias, sums = _bias_and_sums(before, len(mean))
    if spread >= _UNIFORM:
        return InputShift(scale, spread, math.nan, math.inf)
    changes = []
    # Inverted images have a negative factor, which variances can't tell.
    for factor in (scale, -scale) if sums is not None else (scale,):
        moved = mean - (factor * (old_mean - bias) + bias)
        offset = 0.0
        if _size(moved, new) > _NOTABLE:
            offset = math.nan if sums is None else _offset(moved, sums, new)
        if sums is not None and not math.isnan(offset):
            moved = moved - offset * sums
        left = error_of(mean - moved, scale**2 * old, exact, norm.eps)
        changes.append(InputShift(factor, spread, offset, left))
    # The positive one, unless the other explains what it does not.
    return min(changes, key=lambda change: (math.isnan(change.offset), change.scale < 0))


def layer_before(flow: Flow, path: str) -> nn.Module | None:
    """Return the convolution or linear layer that feeds the first call of a BN layer; None for anything else.

    For a layer that normalises the data themselves that is ``Identity``.
    """
    for call in flow.calls_of(path)[:1]:
        sources = flow.sources(call)
        if len(sources) != 1:
            return None
        if sources[0].name == "input":
            return nn.Identity()
        module = sources[0].module
        kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
        return (
            module if isinstance(module, kinds) and sources[0].name.startswith(("linear", "conv")) else None
        )
    return None


def _bias_and_sums(before: nn.Module | None, channels: int) -> tuple[Tensor, Tensor | None]:
    """Return b, and the sums of the rows of W, of the layer before, y = W x + b; 0 and None where they do not tell."""
    nothing = torch.zeros(channels, dtype=torch.float64)
    if isinstance(before, nn.Identity):
        return nothing, torch.ones_like(nothing)
    if not isinstance(before, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)) or len(before.weight) != channels:
        return nothing, None
    sums = before.weight.detach().double().cpu().flatten(1).sum(1)
    return nothing if before.bias is None else before.bias.detach().double().cpu(), sums


def _offset(moved: Tensor, sums: Tensor, variance: Tensor) -> float:
    """Return d where the layer before got s x + d instead of x; NaN where no single d explains how means moved."""
    # In standard deviations of each channel, so that all count alike.
    deviation = (variance + 1e-12).sqrt()
    shift, direction = moved / deviation, sums / deviation
    offset = (shift @ direction / (direction @ direction).clamp_min(1e-30)).item()
    return offset if _size(moved - offset * sums, variance) < 0.3 * _size(moved, variance) else math.nan


def _size(moved: Tensor, variance: Tensor) -> float:
    return (moved / (variance + 1e-12).sqrt()).square().mean().sqrt().item()


def median(values: list[float]) -> float:
    """Return the median of some numbers; NaN for none."""
    return torch.tensor(values, dtype=torch.float64).median().item() if values else math.nan
