"""Labelled batches of a data set that is known by name, in random order as in training."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from normwise.data import ImageData, LabelledData
from normwise.data.sample_order import epoch_order


class LabelledBatches:
    """Batches of the training part in one random order, the same in each pass.

    Images come as ``(images, labels)``; sequences as dicts of the arguments of a network, and ``labels``.

    Args:
        data: Data set with the training part.
        batch_size: Number of samples per batch; the last may have fewer.
    """

    def __init__(self, data: LabelledData, batch_size: int) -> None:
        self._samples, self._is_images = data.training, isinstance(data, ImageData)
        # Folders of images are ordered by class, but training batches are not.
        self._pieces = epoch_order(len(self._samples), seed=0, epoch=0).split(batch_size)

    def __len__(self) -> int:
        return len(self._pieces)

    def __iter__(self) -> Iterator[Any]:
        return map(self._batch, self._pieces)

    def _batch(self, index: Tensor) -> Any:
        inputs, labels = self._samples.inputs(index), torch.as_tensor(self._samples.labels)[index]
        return (inputs["images"], labels) if self._is_images else {**inputs, "labels": labels}
