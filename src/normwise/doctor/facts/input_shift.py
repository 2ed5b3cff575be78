"""Scale and offset by which data differ from those that running statistics were collected on."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normwise.doctor.facts.flow import Flow
from normwise.doctor.facts.norm_facts import NormFacts

#: Channels of less variance than this part of the mean one say nothing about a scale.
_DEAD = 1e-6
#: Means that moved by less, in σ, are taken for noise of the running average.
_NOTABLE = 0.15


@dataclass(frozen=True)
class InputShift:
    """The change of the data that a layer's statistics tell of.

    Attributes:
        scale: Factor by which values vary more than those that the running statistics are of: the median over channels.
        spread: Scatter of that factor among channels, as a share of it; 0 where one factor explains all variances.
        offset: What was added to the data, after the factor; 0 for nothing beyond noise, and NaN where the weights
            before the layer do not tell.
    """

    scale: float
    spread: float
    offset: float

    @property
    def is_uniform(self) -> bool:
        """True where one factor explains the variances of all channels, within a tenth."""
        return self.spread < 0.1


def input_shift(norm: NormFacts, exact: tuple[Tensor, Tensor], before: nn.Module | None) -> InputShift | None:
    """Return the change of the data that statistics of a layer that sees them first tell of; None for nothing.

    Args:
        norm: The layer; its running statistics are those of the old data.
        exact: Mean and variance of the new data there.
        before: The convolution or linear layer before it; None for another, or none.
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
    return InputShift(
        scale, spread, _offset(old_mean, mean, new, scale, before) if spread < 0.1 else math.nan
    )


def layer_before(flow: Flow, path: str) -> nn.Module | None:
    """Return the convolution or linear layer that feeds the first call of a BN layer; None for anything else."""
    for call in flow.calls_of(path)[:1]:
        sources = flow.sources(call)
        module = sources[0].module if len(sources) == 1 else None
        kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
        return (
            module if isinstance(module, kinds) and sources[0].name.startswith(("linear", "conv")) else None
        )
    return None


def _offset(
    old_mean: Tensor, mean: Tensor, variance: Tensor, scale: float, before: nn.Module | None
) -> float:
    """Return d where the layer before, y = W x + b, got s x + d instead of x; NaN where no single d explains it."""
    if not isinstance(before, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return math.nan
    weight = before.weight.detach().double().cpu()
    bias = 0.0 if before.bias is None else before.bias.detach().double().cpu()
    sums = weight.flatten(1).sum(1)
    if len(sums) != len(mean):
        return math.nan
    moved = mean - (scale * (old_mean - bias) + bias)
    # In standard deviations of each channel, so that all count alike.
    deviation = (variance + 1e-12).sqrt()
    moved, sums = moved / deviation, sums / deviation
    size = moved.square().mean().sqrt().item()
    if size < _NOTABLE:
        return 0.0
    offset = (moved @ sums / (sums @ sums).clamp_min(1e-30)).item()
    left = (moved - offset * sums).square().mean().sqrt().item()
    return offset if left < 0.3 * size else math.nan


def median(values: list[float]) -> float:
    """Return the median of some numbers; NaN for none."""
    return torch.tensor(values, dtype=torch.float64).median().item() if values else math.nan
