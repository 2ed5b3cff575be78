"""Signs that batches are not drawn at random: classes that keep together, and means that scatter."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: Most classes of a target that counts as a class.
_MOST_CLASSES = 2000


@dataclass(frozen=True)
class ClassOrder:
    """Classes of the samples, batch by batch.

    Attributes:
        classes: Number of classes in all batches.
        classes_of_batch: Mean number of classes in a batch.
        ratio: Pearson's χ² of the table of batches and classes, over its degrees of freedom: about 1 for a random
            order; NaN for a single class or batch.
        freedom: Degrees of freedom of that table.
        samples: Number of samples.
    """

    classes: int
    classes_of_batch: float
    ratio: float
    freedom: int
    samples: int

    @property
    def is_ordered(self) -> bool:
        """Return whether classes are more clustered in batches than any random order would make them."""
        return self.freedom > 0 and self.ratio > max(2.0, 1 + 8 * math.sqrt(2 / self.freedom))


def class_order(targets: Sequence[object]) -> ClassOrder | None:
    """Return the spread of classes over batches; None if the targets are not classes of samples."""
    labels = [
        target.detach().cpu().long()
        for target in targets
        if isinstance(target, Tensor) and target.dim() == 1 and not target.is_floating_point() and len(target)
    ]
    if not labels or len(labels) != len(targets):
        return None
    classes, codes = torch.cat(labels).unique(return_inverse=True)
    if len(classes) > min(_MOST_CLASSES, len(codes) // 2):
        return None
    table = torch.stack(
        [part.bincount(minlength=len(classes)) for part in codes.split([len(part) for part in labels])]
    ).double()
    expected = table.sum(1, keepdim=True) * table.sum(0, keepdim=True) / table.sum()
    freedom = (len(table) - 1) * (len(classes) - 1)
    ratio = ((table - expected).square() / expected).sum().item() / freedom if freedom else math.nan
    return ClassOrder(
        len(classes), (table > 0).double().sum(1).mean().item(), ratio, freedom, int(table.sum().item())
    )
