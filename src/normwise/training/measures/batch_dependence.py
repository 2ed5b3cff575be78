"""Dependence of a sample's output on the samples beside it."""

import torch
from torch import Tensor, nn

from normwise.data import LabelledData, epoch_order
from normwise.statistics import evaluating, using_batch_statistics

_PROBES, _BATCH = 64, 32
#: Of the deviation of all outputs: what float32 may round to.
_ROUNDING = 1e-4


@torch.no_grad()
def batch_dependence(model: nn.Module, data: LabelledData) -> dict[str, dict[str, float]]:
    """How far a sample's output moves when only the samples beside it are exchanged.

    64 test samples are each put into two batches of 32 with other companions and, with running
    statistics, into a batch of their own. ``change`` is the largest difference of an output, in standard
    deviations of all outputs; ``moved`` the fraction of samples of which an output moves by more than 1e-4 of these,
    and ``flipped`` that of samples whose predicted class differs.
    """
    order = epoch_order(len(data.test), seed=0, epoch=0)
    probes, others = order[:_PROBES], order[_PROBES:]

    def outputs(first: int, companions: int = _BATCH - 1) -> Tensor:
        beside = [others[(first + 7 * i) % (len(others) - _BATCH) :][:companions] for i in range(_PROBES)]
        return torch.stack(
            [
                model(**data.test.inputs(torch.cat([probe[None], rest])))[0]
                for probe, rest in zip(probes, beside, strict=True)
            ]
        )

    def compare(base: Tensor, *changed: Tensor) -> dict[str, float]:
        changes = [((other - base).abs().max() / base.std()).item() for other in changed]
        moved = [~((other - base).abs().amax(1) <= _ROUNDING * base.std()) for other in changed]
        flips = [(other.argmax(1) != base.argmax(1)).double().mean().item() for other in changed]
        return {
            "change": max(changes),
            "moved": max(one.double().mean().item() for one in moved),
            "flipped": max(flips),
        }

    half = len(others) // 2
    with evaluating(model):
        running = compare(outputs(0), outputs(half), outputs(0, companions=0))
    with using_batch_statistics(model):
        return {"running": running, "batch": compare(outputs(0), outputs(half))}
