from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from normwise.data import ImageData
from normwise.errors import DataError


def image_data() -> ImageData:
    return ImageData(
        name="tiny",
        train_images=torch.linspace(0, 1, 4 * 6).reshape(4, 1, 2, 3),
        train_labels=torch.tensor([0, 1, 2, 0]),
        test_images=torch.zeros(2, 1, 2, 3),
        test_labels=torch.tensor([1, 2]),
        classes=("a", "b", "c"),
    )


def test_shape_and_classes_are_told() -> None:
    data = image_data()
    assert data.shape == (1, 2, 3)
    assert data.num_classes == 3


def test_repr_leaves_the_pixels_out() -> None:
    assert repr(image_data()) == "ImageData(name='tiny', classes=('a', 'b', 'c'))"


def test_subset_takes_the_first_of_each_part() -> None:
    data = image_data()
    small = data.subset(3, 1)
    torch.testing.assert_close(small.train_images, data.train_images[:3], rtol=0, atol=0)
    assert small.train_labels.tolist() == [0, 1, 2]
    assert small.test_labels.tolist() == [1]
    assert small.classes == data.classes


def test_subset_of_none_keeps_all() -> None:
    small = image_data().subset(train=None, test=1)
    assert (len(small.train_images), len(small.test_images)) == (4, 1)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (5, None, "tiny: 5 training images asked for; it must be from 1 to 4"),
        (None, 3, "tiny: 3 test images asked for; it must be from 1 to 2"),
        (0, None, "0 training images"),
        (None, -1, "-1 test images"),
    ],
)
def test_subset_refuses_sizes_that_cannot_be(train: int | None, test: int | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        image_data().subset(train, test)


def test_another_floating_type_changes_the_images_only() -> None:
    data = image_data().to(torch.float64)
    assert (data.train_images.dtype, data.test_images.dtype) == (torch.float64, torch.float64)
    assert data.train_labels.dtype == torch.int64


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("train_images", torch.zeros(4, 1, 2, 3, dtype=torch.uint8), "training part has torch.uint8 images"),
        ("train_images", torch.zeros(4, 2, 3), r"shape \(4, 2, 3\), expected floating \(N, C, H, W\)"),
        ("train_images", torch.zeros(0, 1, 2, 3), "training part is empty"),
        ("train_images", torch.full((4, 1, 2, 3), 255.0), r"pixels from 255 to 255, expected \[0, 1\]"),
        ("train_images", torch.full((4, 1, 2, 3), torch.nan), "pixels from nan to nan"),
        ("test_images", torch.zeros(2, 1, 3, 3), r"\(1, 2, 3\) but test images are \(1, 3, 3\)"),
        ("train_labels", torch.tensor([0, 1, 2]), "4 images but 3 labels"),
        ("train_labels", torch.zeros(4), "torch.float32 labels"),
        ("train_labels", torch.zeros(4, 1, dtype=torch.int64), r"labels of shape \(4, 1\)"),
        ("train_labels", torch.tensor([0, 1, 3, 0]), "label 3; with 3 classes it must be from 0 to 2"),
        ("test_labels", torch.tensor([-1, 0]), "test part has the label -1"),
    ],
)
def test_parts_that_do_not_fit_are_refused(field: str, value: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(image_data(), **{field: value})


def test_what_is_asked_for_already_is_not_made_again() -> None:
    data = image_data()
    assert data.subset() is data
    assert data.to(torch.float32) is data


@pytest.mark.parametrize(
    "changes",
    [
        {"train_images": torch.zeros(4, 1, 2, 3)},
        {"train_labels": torch.tensor([0, 1, 2, 1])},
        {"test_images": torch.ones(2, 1, 2, 3)},
        {"test_labels": torch.tensor([2, 1])},
        {"classes": ("a", "b", "d")},
        {"classes": ("a", "b", "c", "d")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_other_data_have_another_digest(changes: dict[str, Any]) -> None:
    assert replace(image_data(), **changes).sha256 != image_data().sha256


def test_equal_data_have_one_digest_whatever_their_name() -> None:
    assert replace(image_data(), name="moved").sha256 == image_data().sha256
    assert len(image_data().sha256) == 64


def test_standardised_values_may_be_of_any_size_but_must_be_finite() -> None:
    values = torch.tensor([-3.0, 7.0]).reshape(2, 1, 1, 1)
    labels = torch.tensor([0, 1])
    data = ImageData("table", values, labels, values, labels, ("a", "b"), standardised=True)
    assert torch.equal(data.train_images, values)
    with pytest.raises(DataError, match="table: the test part has values that are not finite"):
        ImageData("table", values, labels, values / 0, labels, ("a", "b"), standardised=True)
