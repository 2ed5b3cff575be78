"""Scale and offset between the data and those that running statistics were collected on."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normwise.doctor.facts.model.norm_facts import NormFacts
from normwise.doctor.facts.passes.flow import Flow
from normwise.doctor.facts.passes.running_statistics import error_of

#: Channels whose variance is a smaller part of the mean variance are ignored for the scale.
_DEAD = 1e-6
#: Scatter of the factor among channels that counts as none, as a share of the factor.
_UNIFORM = 0.1
#: Movements of means that count as noise of the running average, in σ.
_NOTABLE = 0.15


@dataclass(frozen=True)
class InputShift:
    """Change of the data, estimated from a layer's statistics.

    Attributes:
        scale: Ratio of the data's deviation to the running one: the median over channels; negative if only that
            explains the means.
        spread: Scatter of that factor among channels, as a share of it; 0 if one factor explains all variances.
        offset: Number that was added to the data, after the factor; 0 if it is within noise, and NaN if the weights
            before the layer do not determine it.
        left: Remaining error of values normalised by the old statistics after that change, in σ.
    """

    scale: float
    spread: float
    offset: float
    left: float

    @property
    def is_uniform(self) -> bool:
        """Return whether one factor explains the variances of all channels, within a tenth."""
        return self.spread < _UNIFORM

    @property
    def is_notable(self) -> bool:
        """Return whether the factor differs from 1 by more than noise, or a number was added."""
        return abs(self.scale - 1) > _UNIFORM or (self.offset != 0 and not math.isnan(self.offset))


def input_shift(norm: NormFacts, exact: tuple[Tensor, Tensor], before: nn.Module | None) -> InputShift | None:
    """Return the change of the data, estimated from a layer that sees them first; None if there is none.

    Args:
        norm: Layer whose running statistics are those of the old data.
        exact: Mean and variance of the layer's input for the new data.
        before: Convolution or linear layer before it, from :func:`layer_before`.
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
    # Nine of ten channels, since single channels may be active hardly ever.
    spread = (factors - middle).abs().quantile(0.9).item()
    scale = middle.exp().item()
    bias, sums = _bias_and_sums(before, len(mean))
    if spread >= _UNIFORM:
        return InputShift(scale, spread, math.nan, math.inf)
    changes = []
    # Inverted images have a negative factor, which variances can't show.
    for factor in (scale, -scale) if sums is not None else (scale,):
        moved = mean - (factor * (old_mean - bias) + bias)
        offset = 0.0
        if _size(moved, new) > _NOTABLE:
            offset = math.nan if sums is None else _offset(moved, sums, new)
        if sums is not None and not math.isnan(offset):
            moved = moved - offset * sums
        left = error_of(mean - moved, scale**2 * old, exact, norm.eps)
        changes.append(InputShift(factor, spread, offset, left))
    # The positive factor, unless only the negative one explains the means.
    return min(changes, key=lambda change: (math.isnan(change.offset), change.scale < 0))


def layer_before(flow: Flow, path: str) -> nn.Module | None:
    """Return the convolution or linear layer that feeds the first call of a BN layer; None for anything else.

    For a layer that normalises the data themselves it is ``Identity``.
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
    """Return b and the row sums of W of the layer before, y = W x + b; 0 and None if they are unknown."""
    nothing = torch.zeros(channels, dtype=torch.float64)
    if isinstance(before, nn.Identity):
        return nothing, torch.ones_like(nothing)
    if not isinstance(before, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)) or len(before.weight) != channels:
        return nothing, None
    sums = before.weight.detach().double().cpu().flatten(1).sum(1)
    return nothing if before.bias is None else before.bias.detach().double().cpu(), sums


def _offset(moved: Tensor, sums: Tensor, variance: Tensor) -> float:
    """Return d if the layer before got s x + d instead of x; NaN if no single d explains the means."""
    # In standard deviations of each channel, so that all have equal weight.
    deviation = (variance + 1e-12).sqrt()
    shift, direction = moved / deviation, sums / deviation
    offset = (shift @ direction / (direction @ direction).clamp_min(1e-30)).item()
    return offset if _size(moved - offset * sums, variance) < 0.3 * _size(moved, variance) else math.nan


def _size(moved: Tensor, variance: Tensor) -> float:
    return (moved / (variance + 1e-12).sqrt()).square().mean().sqrt().item()


def median(values: list[float]) -> float:
    """Return the median of some numbers; NaN for none."""
    return torch.tensor(values, dtype=torch.float64).median().item() if values else math.nan
