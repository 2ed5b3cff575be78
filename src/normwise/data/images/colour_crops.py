"""Crops of colour photographs, of several sizes; the class is the photograph."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from normwise.data.images.image_data import ImageData, unit_pixels
from normwise.extras import needs_extra

#: Crops of each class, to train on and to test on.
TRAIN_COUNT, TEST_COUNT = 100, 50
#: Part of a photograph's width, from the left, that is trained on; the rest is tested on.
_TRAIN_WIDTH = 0.6
_FROM_SCIKIT_IMAGE = (
    "astronaut",
    "chelsea",
    "coffee",
    "hubble_deep_field",
    "immunohistochemistry",
    "retina",
    "rocket",
    "stereo_motorcycle",
)

Photographs = dict[str, np.ndarray]


def crops_16() -> ImageData:
    """Return crops of 16×16 pixels, see :func:`crops`."""
    return crops(16, photographs())


def crops_32() -> ImageData:
    """Return crops of 32×32 pixels, see :func:`crops`."""
    return crops(32, photographs())


def crops_64() -> ImageData:
    """Return crops of 64×64 pixels, see :func:`crops`."""
    return crops(64, photographs())


def crops(size: int, of: Photographs) -> ImageData:
    """Return square crops of photographs: 100 of each to train on and 50 to test on.

    Those for training lie in the left 60% of a photograph, those for the test in the right 40%: the two parts don't
    share a pixel, and differ. The positions are drawn, and the same in every call.

    Args:
        size: Height and width of a crop, in pixels.
        of: Photographs by their names, uint8 (H, W, 3).
    """
    draw = np.random.default_rng(size)
    middles = [int(_TRAIN_WIDTH * photograph.shape[1]) for photograph in of.values()]
    train = [
        _cut(photograph[:, :middle], size, TRAIN_COUNT, draw)
        for photograph, middle in zip(of.values(), middles, strict=True)
    ]
    test = [
        _cut(photograph[:, middle:], size, TEST_COUNT, draw)
        for photograph, middle in zip(of.values(), middles, strict=True)
    ]
    train_images, train_labels = _shuffled(train, draw)
    test_images, test_labels = _shuffled(test, draw)
    return ImageData(
        name=f"crops-{size}",
        train_images=unit_pixels(train_images),
        train_labels=torch.from_numpy(train_labels),
        test_images=unit_pixels(test_images),
        test_labels=torch.from_numpy(test_labels),
        classes=tuple(of),
    )


def photographs() -> Photographs:
    """Return the photographs that are here, uint8 (H, W, 3) by name.

    Ten where scikit-image is installed (``pip install 'normwise[data]'``): its own eight and the two that scikit-learn
    carries, some of them of faces, animals, tissue or the sky. Without it the four quarters of each of the two.
    """
    with needs_extra("study", "a data set of crops"):
        from sklearn.datasets import load_sample_image

    two: Photographs = {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
    if find_spec("skimage") is None:
        return {
            f"{name} {place}": part
            for name, photograph in two.items()
            for place, part in _quarters(photograph)
        }
    return {name: _from_scikit_image(name) for name in _FROM_SCIKIT_IMAGE} | two


def _from_scikit_image(name: str) -> np.ndarray:
    with needs_extra("data", f"the photograph {name}"):
        import skimage.data

    read: Callable[[], Any] = getattr(skimage.data, name)
    read_image = read()
    # Of a stereo pair the left one.
    return read_image[0] if isinstance(read_image, tuple) else read_image


def _quarters(photograph: np.ndarray) -> list[tuple[str, np.ndarray]]:
    top, bottom = np.array_split(photograph, 2)
    halves = [(place, np.array_split(half, 2, axis=1)) for place, half in (("top", top), ("bottom", bottom))]
    return [
        (f"{place} {side}", part)
        for place, parts in halves
        for side, part in zip(("left", "right"), parts, strict=True)
    ]


def _cut(photograph: np.ndarray, size: int, count: int, draw: np.random.Generator) -> np.ndarray:
    """Return crops (N, size, size, 3)."""
    height, width = photograph.shape[:2]
    rows = draw.integers(0, height - size + 1, count)
    columns = draw.integers(0, width - size + 1, count)
    return np.stack(
        [
            photograph[row : row + size, column : column + size]
            for row, column in zip(rows, columns, strict=True)
        ]
    )


def _shuffled(classes: list[np.ndarray], draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return crops and labels of all classes, in an order in which the first few are of many."""
    images = np.concatenate(classes)
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(one) for one in classes])
    order = draw.permutation(len(labels))
    return images[order], labels[order]
