"""A folder of image files, sorted into one subfolder for each class."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from normwise.data.files.class_files import class_files, class_folders
from normwise.data.files.user_file import check_unicode
from normwise.data.images.image_data import ImageData, unit_pixels
from normwise.data.images.image_file import SUFFIXES, as_colour, read_pixels
from normwise.data.sample_order import epoch_order
from normwise.errors import DataError
from normwise.files import is_folder


class _Sample(NamedTuple):
    path: Path
    label: int
    pixels: np.ndarray  # uint8, (H, W) if grey and (H, W, 3) if not


def image_folder(directory: str | Path) -> ImageData:
    """Read the images ``DIR/train/<class>/*`` and ``DIR/test/<class>/*``; see :func:`read_pixels` for their kinds.

    The classes are the sorted names of the subfolders of ``train``. All images must have one size. They
    are grey (C = 1) if all files are, else colour (C = 3); transparency is dropped. Within each part
    the images are shuffled, the same way every time, so that the first few are of all classes. Hidden files, notes and
    tables are passed over, see :func:`class_files`; any other file is an error.

    Raises:
        DataError: ``train`` or ``test`` is missing, a class folder is empty, in ``test`` only or not called in UTF-8,
            an image is damaged or of another size than the first, or another file lies there; names the file or folder.
    """
    directory = Path(directory)
    for part in ("train", "test"):
        if not is_folder(directory / part):
            raise DataError(f"{directory}: has no folder {part}/; expected train/<class>/ and test/<class>/")
    classes = tuple(folder.name for folder in _class_folders(directory / "train"))
    train = _read_part(directory / "train", classes, None)
    test = _read_part(directory / "test", classes, train[0])
    colour = any(sample.pixels.ndim == 3 for sample in train + test)
    train_images, train_labels = _tensors(train, colour)
    test_images, test_labels = _tensors(test, colour)
    return ImageData(
        name=directory.resolve().name,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        classes=classes,
    )


def _class_folders(part: Path) -> list[Path]:
    folders = class_folders(part, SUFFIXES, "image")
    if not folders:
        raise DataError(f"{part}: has no class folders; put the images into {part}/<class>/")
    for folder in folders:
        check_unicode(folder.name, f"{part}: the name of the class folder")
    return folders


def _read_part(part: Path, classes: tuple[str, ...], first: _Sample | None) -> list[_Sample]:
    """Read the images of a part, which must have the size of ``first``, or of their own first."""
    samples: list[_Sample] = []
    for folder in _class_folders(part):
        if folder.name not in classes:
            raise DataError(
                f"{folder}: the class {folder.name!r} is not in train/, which has {', '.join(classes)}"
            )
        label = classes.index(folder.name)
        paths = class_files(folder, SUFFIXES, "image")
        if not paths:
            raise DataError(f"{folder}: has no images ({' '.join(SUFFIXES)}); add some or remove the folder")
        for path in paths:
            sample = _Sample(path, label, read_pixels(path))
            first = first or sample
            # At once, so that a few huge images among small ones don't fill the memory first.
            _check_size(sample, first)
            samples.append(sample)
    return samples


def _check_size(sample: _Sample, first: _Sample) -> None:
    if sample.pixels.shape[:2] != first.pixels.shape[:2]:
        raise DataError(
            f"{sample.path} is {_size(sample)} pixels but {first.path} is {_size(first)}; "
            "resize the images to one size"
        )


def _size(sample: _Sample) -> str:
    height, width = sample.pixels.shape[:2]
    return f"{width}×{height}"


def _tensors(samples: list[_Sample], colour: bool) -> tuple[Tensor, Tensor]:
    """Return images float32 (N, C, H, W) and labels int64 (N,), shuffled."""
    order = epoch_order(len(samples), seed=0, epoch=0).tolist()
    pixels = np.stack([as_colour(samples[i].pixels) if colour else samples[i].pixels for i in order])
    return unit_pixels(pixels), torch.tensor([samples[i].label for i in order])
