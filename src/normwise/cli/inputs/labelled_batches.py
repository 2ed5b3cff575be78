"""Labelled batches of a data set that is known by name, in random order as in training."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from normwise.data import Samples
from normwise.data.sample_order import epoch_order


class LabelledBatches:
    """Samples in one random order, which is the same in each pass.

    Images come as ``(images, labels)``; sequences as dicts of the arguments of a network, and ``labels``.

    Args:
        samples: Training or test part of a data set.
        batch_size: Number of samples per batch; the last may have fewer.
        is_images: Whether they are images.
    """

    def __init__(self, samples: Samples, batch_size: int, *, is_images: bool) -> None:
        self._samples, self._is_images = samples, is_images
        # Folders of images are ordered by class, but training batches are not.
        self._pieces = epoch_order(len(self._samples), seed=0, epoch=0).split(batch_size)

    def __len__(self) -> int:
        return len(self._pieces)

    def __iter__(self) -> Iterator[Any]:
        return map(self._batch, self._pieces)

    def _batch(self, index: Tensor) -> Any:
        inputs, labels = self._samples.inputs(index), torch.as_tensor(self._samples.labels)[index]
        return (inputs["images"], labels) if self._is_images else {**inputs, "labels": labels}
