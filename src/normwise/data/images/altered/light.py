"""Images in another light: darker, with less contrast, and each in its own."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from normwise.data.images.digits import digits
from normwise.data.images.image_data import ImageData
from normwise.data.images.mnist import mnist

#: Contrast in the poorest light, of 1 in the best.
POOREST = 0.25
#: Brightest pixel in each of the lights that are told from one another.
GAINS = (1.0, 0.8, 0.64, 0.512, 0.4096)


def in_mixed_light(images: Tensor, seed: int) -> Tensor:
    """Return images ``(N, C, H, W)``, in [0, 1] as they were, each in a light of its own.

    A pixel ``x`` becomes ``a x + b``. The contrast ``a`` is drawn between :data:`POOREST` and 1, its logarithm
    uniformly, and the brightness ``b`` uniformly from 0 to ``1 − a``. The same for the same number of images and seed.
    """
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.rand((2, len(images), 1, 1, 1), generator=generator, dtype=torch.float64)
    contrast = torch.exp(first * math.log(POOREST))
    return images * contrast.to(images.dtype) + (second * (1 - contrast)).to(images.dtype)


def digits_in_mixed_light() -> ImageData:
    """Return the digits, to be told apart in the light of :func:`in_mixed_light`."""
    return _mixed(digits())


def mnist_in_mixed_light() -> ImageData:
    """Return MNIST, to be told apart in the light of :func:`in_mixed_light`."""
    return _mixed(mnist())


def lights_of_digits() -> ImageData:
    """Return the digits darkened by one of :data:`GAINS` each; the class is the gain and not the digit."""
    return _darkened(digits())


def lights_of_mnist() -> ImageData:
    """Return MNIST darkened by one of :data:`GAINS` each; the class is the gain and not the digit."""
    return _darkened(mnist())


def _mixed(data: ImageData) -> ImageData:
    return replace(
        data,
        name=f"{data.name}-in-mixed-light",
        train_images=in_mixed_light(data.train_images, seed=0),
        test_images=in_mixed_light(data.test_images, seed=1),
    )


def _darkened(data: ImageData) -> ImageData:
    (train, train_labels), (test, test_labels) = (
        _by_gain(images, seed) for seed, images in enumerate((data.train_images, data.test_images))
    )
    return ImageData(
        name=f"lights-of-{data.name}",
        train_images=train,
        train_labels=train_labels,
        test_images=test,
        test_labels=test_labels,
        classes=tuple(f"{gain:.0%}" for gain in GAINS),
    )


def _by_gain(images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(len(GAINS), (len(images),), generator=generator)
    return images * torch.tensor(GAINS, dtype=images.dtype)[labels, None, None, None], labels
