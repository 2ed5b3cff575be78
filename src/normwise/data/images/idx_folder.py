"""A folder with four IDX files named as MNIST's are; many data sets are offered in this form."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from normwise.data.images.idx import read_idx
from normwise.data.images.image_data import ImageData, unit_pixels
from normwise.errors import DataError
from normwise.files import is_there

# Training images, training labels, test images, test labels: the order used everywhere here.
IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


class IdxFile(NamedTuple):
    """An array and its file, which errors name."""

    path: Path
    array: np.ndarray


def idx_folder(directory: str | Path, name: str | None = None) -> ImageData:
    """Return the data set in a folder that holds the four files of ``IDX_NAMES``.

    Each may end in ``.gz``, and may have a dot before ``idx``. Images are uint8 (N, H, W), or
    (N, H, W, C) with colour; labels are uint8 (N,). The classes are "0" to the highest label.

    Args:
        directory: Folder with the files.
        name: Name of the data set; by default the folder's name.

    Raises:
        DataError: a file is missing or damaged, or the files do not belong together.
    """
    directory = Path(directory)
    found = {wanted: find_idx(directory, wanted) for wanted in IDX_NAMES}
    missing = [wanted for wanted, path in found.items() if path is None]
    if missing:
        raise DataError(
            f"{directory}: missing {', '.join(missing)} (each with or without .gz); put them into this folder"
        )
    files = [IdxFile(path, read_idx(path)) for path in found.values() if path is not None]
    return from_idx_files(name or directory.resolve().name, files)


def find_idx(directory: Path, name: str) -> Path | None:
    """Return the path of a name in the folder, in any of its spellings, or None; its reader accepts only files."""
    spellings = (name, name.replace("-idx", ".idx"))
    candidates = (directory / f"{spelling}{end}" for spelling in spellings for end in ("", ".gz"))
    return next((path for path in candidates if is_there(path)), None)


def from_idx_files(name: str, files: Sequence[IdxFile]) -> ImageData:
    """Return the data set of four arrays, in the order of ``IDX_NAMES``.

    Raises:
        DataError: an array has a wrong shape or dtype, or two do not belong together.
    """
    train_images, train_labels, test_images, test_labels = files
    _check_pair(train_images, train_labels)
    _check_pair(test_images, test_labels)
    if train_images.array.shape[1:] != test_images.array.shape[1:]:
        raise DataError(
            f"{train_images.path} has images of shape {train_images.array.shape[1:]}, but "
            f"{test_images.path} of {test_images.array.shape[1:]}; both must come from one data set"
        )
    highest = int(max(train_labels.array.max(), test_labels.array.max()))
    return ImageData(
        name=name,
        train_images=unit_pixels(train_images.array),
        train_labels=torch.from_numpy(train_labels.array).to(torch.int64),
        test_images=unit_pixels(test_images.array),
        test_labels=torch.from_numpy(test_labels.array).to(torch.int64),
        classes=tuple(str(label) for label in range(highest + 1)),
    )


def _check_pair(images: IdxFile, labels: IdxFile) -> None:
    _check_form(images, dims=(3, 4), expected="images: uint8 (N, H, W) or (N, H, W, C)")
    _check_form(labels, dims=(1,), expected="labels: uint8 (N,)")
    if len(images.array) != len(labels.array):
        raise DataError(
            f"{images.path} has {len(images.array)} images but {labels.path} has {len(labels.array)} labels; "
            "both must come from one data set"
        )


def _check_form(file: IdxFile, *, dims: tuple[int, ...], expected: str) -> None:
    array = file.array
    if array.dtype != np.uint8 or array.ndim not in dims:
        raise DataError(f"{file.path}: holds {array.dtype} of shape {array.shape}, expected {expected}")
    if array.size == 0:
        raise DataError(f"{file.path}: is an empty set (shape {array.shape}), expected {expected}")
