"""Brightness of images, by which one that is inverted is told from those of the training."""

import numpy as np
import torch
from torch import Tensor

from normwise.records import Brightness

#: Training images that are measured: enough for a range, and a fraction of a second.
_MOST = 2000
#: Share of the training images that the range leaves out at each end.
_LEFT_OUT = 0.01


def training_brightness(images: Tensor) -> Brightness:
    """Return the ranges of brightness of training images, evenly chosen where there are many.

    Args:
        images: Images (N, C, H, W), from 0 for black to 1 for white.
    """
    ranges = [
        np.quantile(values, (_LEFT_OUT, 1 - _LEFT_OUT), method="inverted_cdf")
        for values in _measured(images[:: -(-len(images) // _MOST)])
    ]
    return Brightness(*(round(float(end), 4) for ends in ranges for end in ends))


def inversion_note(image: Tensor, training: Brightness) -> str | None:
    """Return a note if an image seems to be inverted, as dark on light is to light on dark; else None.

    It is one if the image as a whole and its border lie farther outside the range of the training images than that is
    wide, and the inverted image at most half as far. The digits of scikit-learn, Fashion-MNIST and pieces of
    photographs give none.

    Args:
        image: Image (C, H, W), from 0 for black to 1 for white.
        training: Brightness of the training images.
    """
    mean, border = (float(values[0]) for values in _measured(image[None]))
    if not (
        _is_inverted(mean, training.low, training.high)
        and _is_inverted(border, training.border_low, training.border_high)
    ):
        return None
    here, there = (
        ("dark on light", "light on dark") if mean > training.high else ("light on dark", "dark on light")
    )
    return (
        f"it may be inverted: its mean brightness is {mean:.2f}, and that of the training images {training.low:.2f} to "
        f"{training.high:.2f}; at the border {border:.2f}, and theirs {training.border_low:.2f} to "
        f"{training.border_high:.2f}. If it is {here} where they are {there}, invert it"
    )


def _is_inverted(value: float, low: float, high: float) -> bool:
    far, far_inverted = (max(low - each, each - high, 0.0) for each in (value, 1 - value))
    return far > max(high - low, 0.0) and far_inverted <= far / 2


def _measured(images: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of each image, and that of its outermost pixels: float64 (N,)."""
    # Summed by NumPy in one thread: the digits must not depend on the number of threads.
    pixels = images.detach().cpu().to(torch.float64).numpy()
    # A side of one pixel is both its ends.
    rows = pixels[:, :, sorted({0, pixels.shape[2] - 1})]
    columns = pixels[:, :, 1:-1, sorted({0, pixels.shape[3] - 1})]
    border = np.concatenate([part.reshape(len(pixels), -1) for part in (rows, columns)], axis=1)
    return pixels.reshape(len(pixels), -1).mean(axis=1), border.mean(axis=1)
