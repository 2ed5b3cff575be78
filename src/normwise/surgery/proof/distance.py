"""Distances between tensors, relative to the largest value."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


def largest_difference(expected: Sequence[Tensor], got: Sequence[Tensor]) -> float:
    """Return the largest difference of tensors, each relative to its largest value; infinite if sizes differ."""
    if [value.shape for value in expected] != [value.shape for value in got]:
        return math.inf
    return largest_error(expected, got, range(len(expected)))


def largest_error(expected: Sequence[Tensor], got: Sequence[Tensor], owners: Iterable[int]) -> float:
    """Return the largest difference of tensors, relative to the largest value of all tensors of the same owner."""
    errors: dict[int, float] = {}
    scales: dict[int, float] = {}
    for a, b, owner in zip(expected, got, owners, strict=True):
        if a.numel():
            a, b = a.double(), b.double()
            # NaN in both counts as equal.
            same = (a == b) | (a.isnan() & b.isnan())
            error = torch.where(same, 0, (a - b).abs()).max().item()
            errors[owner] = max(errors.get(owner, 0.0), math.inf if math.isnan(error) else error)
            largest = torch.where(a.isfinite(), a.abs(), 0).max().item()
            scales[owner] = max(scales.get(owner, torch.finfo(torch.float32).tiny), largest)
    return max((error / scales[owner] for owner, error in errors.items()), default=math.nan)


def largest_by_owner(gradients: Sequence[Tensor], owners: Sequence[int]) -> dict[int, float]:
    """Return the largest absolute value of each owner's gradients."""
    found: dict[int, float] = {}
    for gradient, owner in zip(gradients, owners, strict=False):
        size = gradient.abs().max().item() if gradient.numel() else 0.0
        found[owner] = max(found.get(owner, 0.0), math.inf if math.isnan(size) else size)
    return found
