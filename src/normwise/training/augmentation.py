"""Random changes of training images: what ``--augment crop`` and ``--augment flip`` ask for."""

import zlib
from collections.abc import Collection

import torch
from torch import Tensor

#: Names of the changes, in the order in which they are drawn.
AUGMENTATIONS = ("crop", "flip")
#: Share of the height and of the width by which a crop is moved at most: 4 pixels of 32.
_SHARE = 8


class Augmentation:
    """Changes of a run's training images, each drawn for each image of each step.

    "crop" moves an image by up to an eighth of its height and width, at least a pixel, as a crop of the padded image
    would; the pixels of its border are repeated where it would end. "flip" swaps left and right in half of the images.

    The changes are a function of seed and step only. They read no other random state and change none, so a resumed run
    draws them again, and a run's other random numbers are those of a run without them.

    Args:
        names: Names of the changes, of :data:`AUGMENTATIONS`; none leave the images as they are.
        seed: Seed of the run.
    """

    def __init__(self, names: Collection[str], seed: int):
        self._names, self._seed = names, seed

    def __call__(self, step: int, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the inputs of a step, with changed ``images`` (N, C, H, W)."""
        if not self._names:
            return inputs
        images = inputs["images"]
        count, channels, height, width = images.shape
        generator = torch.Generator().manual_seed(zlib.crc32(f"{self._seed}/{step}/augmentation".encode()))
        rows, columns = torch.arange(height).expand(count, height), torch.arange(width).expand(count, width)
        if "crop" in self._names:
            rows, columns = _moved(rows, generator), _moved(columns, generator)
        if "flip" in self._names:
            flipped = torch.rand(count, 1, generator=generator) < 0.5
            columns = torch.where(flipped, columns.flip(1), columns)
        index = (
            torch.arange(count)[:, None, None, None],
            torch.arange(channels)[:, None, None],
            rows[:, None, :, None],
            columns[:, None, None, :],
        )
        return inputs | {"images": images[tuple(part.to(images.device) for part in index)]}


def _moved(positions: Tensor, generator: torch.Generator) -> Tensor:
    """Return the positions (N, length) of the pixels to take, each row moved by its own number."""
    count, length = positions.shape
    most = max(1, round(length / _SHARE))
    moves = torch.randint(-most, most + 1, (count, 1), generator=generator)
    return (positions + moves).clamp(0, length - 1)
