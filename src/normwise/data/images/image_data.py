"""A labelled set of images, split into a training and a test part."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from normwise.data.images.brightness import training_brightness
from normwise.data.sample_order import epoch_order
from normwise.data.stratified_split import stratified
from normwise.errors import DataError
from normwise.records import InputSpec


def unit_pixels(pixels: np.ndarray) -> Tensor:
    """Return uint8 (N, H, W) or (N, H, W, C), 0 to 255, as contiguous float32 (N, C, H, W), 0 to 1."""
    channels_last = pixels[..., None] if pixels.ndim == 3 else pixels
    channels_first = np.ascontiguousarray(np.moveaxis(channels_last, -1, 1))
    return torch.from_numpy(channels_first).to(torch.float32).div_(255)


@dataclass(frozen=True, eq=False)
class Images:
    """One part of a set of images.

    Attributes:
        images: Images, floating (N, C, H, W).
        labels: Class of each image, int64 (N,).
    """

    images: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    def inputs(self, index: Tensor) -> dict[str, Tensor]:
        """Return a batch: ``images`` (n, C, H, W)."""
        return {"images": self.images[index]}


@dataclass(frozen=True, eq=False)
class ImageData:
    """Images of one size with one label each, in a training and a test part.

    Attributes:
        name: Name of the data set in tables, figures and errors.
        train_images: Training images, floating (N, C, H, W), in [0, 1]; float32 from every loader.
        train_labels: Class of each training image, int64 (N,), indices into ``classes``.
        test_images: Test images, floating (M, C, H, W), in [0, 1]; same C, H, W.
        test_labels: Class of each test image, int64 (M,).
        classes: Name of each class.
        standardised: Whether the values are standardised instead of pixels in [0, 1].
        notes: Notes for the user on how the files were read, in sentences without a full stop.

    Raises:
        DataError: the parts do not fit each other or the description above.
    """

    name: str
    train_images: Tensor = field(repr=False)
    train_labels: Tensor = field(repr=False)
    test_images: Tensor = field(repr=False)
    test_labels: Tensor = field(repr=False)
    classes: tuple[str, ...]
    standardised: bool = field(default=False, repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        for part, images, labels in self._parts():
            where = f"{self.name}: the {part} part"
            _check_images(where, images, standardised=self.standardised)
            _check_labels(where, labels, count=len(images), classes=self.num_classes)
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            train, test = tuple(self.train_images.shape[1:]), tuple(self.test_images.shape[1:])
            raise DataError(
                f"{self.name}: training images are (C, H, W) = {train} but test images are {test}; "
                "both parts must have one size"
            )

    @property
    def training(self) -> Images:
        """Return the training part, for a training loop."""
        return Images(self.train_images, self.train_labels)

    @property
    def test(self) -> Images:
        """Return the test part, for a training loop."""
        return Images(self.test_images, self.test_labels)

    @property
    def input_spec(self) -> InputSpec:
        """Return the format of inputs and outputs of a network for these images."""
        brightness = None if self.standardised else training_brightness(self.train_images)
        return InputSpec("image", self.shape, self.classes, brightness=brightness)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape (C, H, W) of every image."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """Return the number of classes, including classes without an image."""
        return len(self.classes)

    @property
    def sha256(self) -> str:
        """Return the hexadecimal SHA-256 of the images, labels and class names: equal for equal data.

        The first call takes a quarter of a second for MNIST.
        """
        return self._sha256

    @cached_property
    def _sha256(self) -> str:
        digest = hashlib.sha256(repr((self.shape, self.classes)).encode())
        for _, *tensors in self._parts():
            for tensor in tensors:
                digest.update(f"{tensor.dtype} {len(tensor)}".encode())
                digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def subset(
        self, train: int | None = None, test: int | None = None, *, draw: int | None = None
    ) -> "ImageData":
        """Return the data with the first ``train`` training and ``test`` test images; None keeps them all.

        Args:
            train: Number of training images.
            test: Number of test images.
            draw: Seed to draw the training images by, in place of the first ones.

        Raises:
            DataError: fewer than one image is requested, or more than there are.
        """
        for (part, images, _), wanted in zip(self._parts(), (train, test), strict=True):
            if wanted is not None and not 1 <= wanted <= len(images):
                raise DataError(
                    f"{self.name}: {wanted} {part} images asked for; it must be from 1 to {len(images)}"
                )
        if train is None and test is None:
            return self
        chosen = slice(train)
        drawn = chosen if draw is None else epoch_order(len(self.train_labels), draw, epoch=0)[chosen]
        return replace(
            self,
            train_images=self.train_images[drawn],
            train_labels=self.train_labels[drawn],
            test_images=self.test_images[:test],
            test_labels=self.test_labels[:test],
        )

    def for_tuning(self) -> "ImageData":
        """Return only the training images, with a fifth of each class as the test part."""
        kept, held_out = stratified(self.train_labels.tolist(), share=5)
        return replace(
            self,
            train_images=self.train_images[kept],
            train_labels=self.train_labels[kept],
            test_images=self.train_images[held_out],
            test_labels=self.train_labels[held_out],
        )

    def to(self, dtype: torch.dtype) -> "ImageData":
        """Return the same images in another floating-point dtype, without a copy if they have it already."""
        if self.train_images.dtype == self.test_images.dtype == dtype:
            return self
        return replace(self, train_images=self.train_images.to(dtype), test_images=self.test_images.to(dtype))

    def _parts(self) -> tuple[tuple[str, Tensor, Tensor], ...]:
        return (
            ("training", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        )


def _check_images(where: str, images: Tensor, *, standardised: bool) -> None:
    if not images.is_floating_point() or images.ndim != 4:
        raise DataError(
            f"{where} has {images.dtype} images of shape {tuple(images.shape)}, expected floating (N, C, H, W)"
        )
    if images.numel() == 0:
        raise DataError(f"{where} is empty: its images have shape {tuple(images.shape)}")
    if standardised:
        if not bool(images.isfinite().all()):
            raise DataError(f"{where} has values that are not finite")
        return
    low, high = (float(extreme) for extreme in images.aminmax())
    # Written so that NaN, which makes every comparison false, is refused too.
    if not (low >= 0 and high <= 1):
        raise DataError(
            f"{where} has pixels from {low:g} to {high:g}, expected [0, 1]; divide by the largest value"
        )


def _check_labels(where: str, labels: Tensor, *, count: int, classes: int) -> None:
    if labels.dtype != torch.int64 or labels.ndim != 1:
        raise DataError(
            f"{where} has {labels.dtype} labels of shape {tuple(labels.shape)}, expected int64 (N,)"
        )
    if len(labels) != count:
        raise DataError(f"{where} has {count} images but {len(labels)} labels; each image needs one label")
    low, high = (int(extreme) for extreme in labels.aminmax())
    if low < 0 or high >= classes:
        wrong = low if low < 0 else high
        raise DataError(
            f"{where} has the label {wrong}; with {classes} classes it must be from 0 to {classes - 1}"
        )
