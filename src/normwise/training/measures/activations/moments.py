"""Shape of the distributions of BN's inputs and outputs."""

import math

import torch
from torch import Tensor, nn

from normwise.data import LabelledData, epoch_order
from normwise.training.measures.activations.norm_passes import middle, norm_passes

#: Number of test samples in one batch.
_SAMPLES = 256
#: The value that a chi-squared variable of two degrees of freedom exceeds with a probability of 1 %.
_CRITICAL = -2 * math.log(0.01)


@torch.no_grad()
def moments(model: nn.Module, data: LabelledData) -> dict[str, float]:
    """Return how much BN changes the shape of its input's distribution, in float64, over all BN layers.

    Channels are measured at the middle of the image; channels that are constant there are left out. ``skewness``,
    ``kurtosis`` and ``correlation`` are the largest changes of a channel's skewness, of its kurtosis and of two
    channels' correlation from BN's input to its output, with the signs that a negative γ flips taken into account.
    ``correlated`` is the mean absolute correlation in the output. ``not_normal`` is the fraction of channels whose
    output a Jarque-Bera test at 1 % distinguishes from a normal distribution. Values are NaN if BN's output is NaN,
    or if fewer than two channels vary.
    """
    index = epoch_order(len(data.test), seed=0, epoch=0)[:_SAMPLES]
    changes: dict[str, list[float]] = {"skewness": [], "kurtosis": [], "correlation": []}
    correlated: list[Tensor] = []
    tests: list[Tensor] = []
    for seen in norm_passes(model, data.test, index):
        given, made = middle(seen.given), middle(seen.made)
        # Keep NaN, so that the result shows it.
        varying = ~((given.var(0) <= 1e-12) | (made.var(0) <= 1e-24))
        if varying.sum() < 2:
            continue
        weight = seen.layer.weight
        sign = torch.ones(given.shape[1]) if weight is None else weight.detach().sign()
        given, made, sign = given[:, varying], made[:, varying], sign[varying].double()
        (skew, kurtosis), (made_skew, made_kurtosis) = _shape(given), _shape(made)
        changes["skewness"].append((made_skew - sign * skew).abs().max().item())
        changes["kurtosis"].append((made_kurtosis - kurtosis).abs().max().item())
        before, after = (torch.corrcoef(values.T) for values in (given, made))
        changes["correlation"].append((after - sign[:, None] * before * sign).abs().max().item())
        off = ~torch.eye(len(after), dtype=torch.bool)
        correlated.append(after[off].abs())
        tests.append(len(made) / 6 * (made_skew**2 + (made_kurtosis - 3) ** 2 / 4) > _CRITICAL)
    return {
        **{name: _largest(values) for name, values in changes.items()},
        "correlated": _mean(correlated),
        "not_normal": _mean(tests),
    }


def _shape(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return each column's skewness and kurtosis, which is 3 for a normal distribution."""
    centred = values - values.mean(0)
    deviation = centred.square().mean(0).sqrt()
    scaled = centred / deviation
    return scaled.pow(3).mean(0), scaled.pow(4).mean(0)


def _largest(values: list[float]) -> float:
    return math.nan if any(map(math.isnan, values)) else max(values, default=math.nan)


def _mean(parts: list[Tensor]) -> float:
    return torch.cat(parts).double().mean().item() if parts else math.nan
