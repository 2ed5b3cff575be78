"""A folder of image files, sorted into one subfolder for each class."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from normwise.data.files.class_files import class_files, class_folders
from normwise.data.files.user_file import check_unicode, entries
from normwise.data.images.image_data import ImageData, unit_pixels
from normwise.data.images.image_file import SUFFIXES, as_colour, read_image, resized
from normwise.data.options import ImageOptions
from normwise.data.sample_order import epoch_order
from normwise.data.stratified_split import stratified
from normwise.errors import ArgumentError, DataError
from normwise.files import is_folder

#: Names of the folder of the test images, in the order in which they are looked for.
_TEST_FOLDERS = ("test", "val", "valid", "validation")
_LARGEST_SIZE = 4096
#: What some of Pillow's names of modes mean.
_MODES = {"1": "black and white (1)", "L": "grey (L)", "LA": "grey (LA)", "P": "palette (P)"}


class _Sample(NamedTuple):
    path: Path
    label: int
    pixels: np.ndarray  # uint8, (H, W) if grey and (H, W, 3) if not
    mode: str
    transparent: bool


def has_form(directory: Path) -> bool:
    """Tell whether a folder has other folders that :func:`image_folder` may read."""
    return any(is_folder(path) for path in entries(directory))


def image_folder(directory: str | Path, options: ImageOptions | None = None) -> ImageData:
    """Read the images ``DIR/train/<class>/*`` and ``DIR/test/<class>/*``; see :func:`read_image` for their kinds.

    In place of ``test`` the folder may be called ``val``, ``valid`` or ``validation``. Without ``train`` and these the
    images are ``DIR/<class>/*``, and a tenth of each class is for the test, the same in every call. Images in folders
    within that of a class belong to it, too.

    The classes are the sorted names of the subfolders of ``train``. All images must have one size, or are resized by
    the option ``size``. They are grey (C = 1) if all files are, else colour (C = 3); transparency is dropped. Within
    each part the images are shuffled, the same way every time, so that the first few are of all classes. Hidden files,
    notes and tables are passed over, see :func:`class_files`; any other file is an error.

    Raises:
        ArgumentError: images can't be resized to the size.
        DataError: ``train`` or ``test`` is missing, a class folder is empty, in ``test`` only or not called in UTF-8,
            an image is damaged or of another size than the first, or another file lies there; names the file or folder.
    """
    directory, size = Path(directory), _checked_size(options)
    test_folder = next((directory / name for name in _TEST_FOLDERS if is_folder(directory / name)), None)
    if test_folder is None and not is_folder(directory / "train"):
        classes = tuple(folder.name for folder in _class_folders(directory))
        samples = _read_part(directory, classes, None, size)
        train, test = ([samples[i] for i in part] for part in stratified([one.label for one in samples]))
        if not test:
            raise DataError(
                f"{directory}: each class has one image only, which leaves none for the test; add some"
            )
    else:
        train_folder = directory / "train"
        if test_folder is None or not is_folder(train_folder):
            missing = "train/" if test_folder else "test/ (or val/)"
            raise DataError(
                f"{directory}: has no folder {missing}; expected train/<class>/ and test/<class>/, or <class>/ alone"
            )
        classes = tuple(folder.name for folder in _class_folders(train_folder))
        train = _read_part(train_folder, classes, None, size)
        test = _read_part(test_folder, classes, train[0], size)
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
        notes=_notes(train + test, colour),
    )


def _notes(samples: list[_Sample], colour: bool) -> tuple[str, ...]:
    """Say what was made of files that store colours differently, or are transparent."""
    modes = Counter(sample.mode for sample in samples)
    transparent = sum(sample.transparent for sample in samples)
    parts = []
    if len(modes) > 1:
        counted = [f"{count} {_MODES.get(mode, mode)}" for mode, count in modes.most_common()]
        kind = "colour" if colour else "grey"
        parts.append(f"of {len(samples)} images, {', '.join(counted)}: all are taken as {kind}")
    if transparent:
        parts.append(
            f"in {transparent} of {len(samples)} images pixels are transparent; they get the colour that the file "
            "stores there, often black"
        )
    return ("; ".join(parts),) if parts else ()


def _checked_size(options: ImageOptions | None) -> int | None:
    size = None if options is None else options.size
    if size is not None and not 1 <= size <= _LARGEST_SIZE:
        raise ArgumentError(f"size is {size}; images are resized to 1 to {_LARGEST_SIZE:,} pixels")
    return size


def _class_folders(part: Path) -> list[Path]:
    folders = class_folders(part, SUFFIXES, "image")
    if not folders:
        raise DataError(f"{part}: has no class folders; put the images into {part}/<class>/")
    for folder in folders:
        check_unicode(folder.name, f"{part}: the name of the class folder")
    return folders


def _read_part(
    part: Path, classes: tuple[str, ...], first: _Sample | None, size: int | None
) -> list[_Sample]:
    """Read the images of a part, resized or of the size of ``first``, or of their own first."""
    samples: list[_Sample] = []
    for folder in _class_folders(part):
        if folder.name not in classes:
            raise DataError(
                f"{folder}: the class {folder.name!r} is not in train/, which has {', '.join(classes)}"
            )
        label = classes.index(folder.name)
        paths = class_files(folder, SUFFIXES, "image", nested=True)
        if not paths:
            raise DataError(f"{folder}: has no images ({' '.join(SUFFIXES)}); add some or remove the folder")
        for path in paths:
            pixels, mode, transparent = read_image(path)
            if size is not None:
                pixels = resized(pixels, size, size)
            sample = _Sample(path, label, pixels, mode, transparent)
            first = first or sample
            # At once, so that a few huge images among small ones don't fill the memory first.
            _check_size(sample, first)
            samples.append(sample)
    return samples


def _check_size(sample: _Sample, first: _Sample) -> None:
    if sample.pixels.shape[:2] != first.pixels.shape[:2]:
        raise DataError(
            f"{sample.path} is {_size(sample)} pixels but {first.path} is {_size(first)}; "
            "resize the images to one size, or give size=64, for example"
        )


def _size(sample: _Sample) -> str:
    height, width = sample.pixels.shape[:2]
    return f"{width}×{height}"


def _tensors(samples: list[_Sample], colour: bool) -> tuple[Tensor, Tensor]:
    """Return images float32 (N, C, H, W) and labels int64 (N,), shuffled."""
    order = epoch_order(len(samples), seed=0, epoch=0).tolist()
    pixels = np.stack([as_colour(samples[i].pixels) if colour else samples[i].pixels for i in order])
    return unit_pixels(pixels), torch.tensor([samples[i].label for i in order])
