"""Images that seem to be inverted, by their brightness and that of the training images."""

from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_sample_image
from torch import Tensor

from normwise.data import digits
from normwise.data.images.brightness import inversion_note, training_brightness
from normwise.records import Brightness


def _noted(images: Tensor, training: Brightness) -> int:
    return sum(inversion_note(image, training) is not None for image in images)


def test_every_inverted_digit_is_noted_and_no_other() -> None:
    data = digits()
    training = training_brightness(data.train_images)
    assert _noted(data.test_images, training) == 0
    assert _noted(1 - data.test_images, training) == len(data.test_images)
    # The same with light and dark swapped throughout.
    training = training_brightness(1 - data.train_images)
    assert _noted(1 - data.test_images, training) == 0
    assert _noted(data.test_images, training) == len(data.test_images)


@pytest.mark.parametrize(
    ("of", "trained_on"), [("china", "china"), ("flower", "flower"), ("flower", "china")]
)
def test_pieces_of_photographs_are_not_noted(of: str, trained_on: str) -> None:
    training = training_brightness(_pieces(trained_on)[::2])
    assert _noted(_pieces(of)[1::2], training) == 0


def _pieces(name: str) -> Tensor:
    """Return pieces (N, 3, 32, 32) of a photograph that comes with scikit-learn."""
    photograph = torch.tensor(load_sample_image(f"{name}.jpg")).permute(2, 0, 1) / 255
    pieces = photograph.unfold(1, 32, 32).unfold(2, 32, 32)
    return pieces.permute(1, 2, 0, 3, 4).reshape(-1, 3, 32, 32)


def test_the_note_says_what_was_measured() -> None:
    image = torch.full((1, 4, 4), 0.9)
    image[0, 1:3, 1:3] = 0.1
    training = Brightness(0.1, 0.3, 0.0, 0.2)
    assert inversion_note(image, training) == (
        "it may be inverted: its mean brightness is 0.70, and that of the training images 0.10 to 0.30; at the border "
        "0.90, and theirs 0.00 to 0.20. If it is dark on light where they are light on dark, invert it"
    )
    assert inversion_note(1 - image, training) is None
    # A light picture that fills the image is no inverted one.
    assert inversion_note(image, replace(training, border_high=0.8)) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (2, 2)])
def test_images_that_are_all_border_have_one_brightness(size: tuple[int, int]) -> None:
    images = torch.rand(7, 3, *size, generator=torch.Generator().manual_seed(0))
    found = training_brightness(images)
    assert (found.low, found.high) == (found.border_low, found.border_high)
    assert found.high == pytest.approx(float(images.mean((1, 2, 3)).max()), abs=1e-4)


def test_the_darkest_and_the_brightest_hundredth_are_left_out() -> None:
    images = torch.linspace(0, 1, 101).reshape(101, 1, 1, 1).expand(101, 1, 3, 3)
    found = training_brightness(images)
    assert (found.low, found.high) == pytest.approx((0.01, 0.99), abs=0.011)


def test_a_range_with_numbers_that_are_not_finite_gives_no_note() -> None:
    assert inversion_note(torch.ones(1, 2, 2), Brightness(*[float("nan")] * 4)) is None
