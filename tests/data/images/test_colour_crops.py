import numpy as np
import pytest
import torch

from normwise.data import load_data
from normwise.data.images import colour_crops
from normwise.data.images.colour_crops import TEST_COUNT, TRAIN_COUNT, crops, photographs


def _told_apart() -> dict[str, np.ndarray]:
    """Two photographs whose colours tell the place: red is the column, green the photograph."""
    found = {}
    for number, name in enumerate(("one", "two")):
        photograph = np.zeros((60, 100, 3), dtype=np.uint8)
        photograph[..., 0] = np.arange(100)
        photograph[..., 1] = number
        found[name] = photograph
    return found


def test_training_crops_lie_left_and_test_crops_right_of_the_same_line() -> None:
    data = crops(16, _told_apart())
    assert data.train_images.shape == (2 * TRAIN_COUNT, 3, 16, 16)
    assert data.test_images.shape == (2 * TEST_COUNT, 3, 16, 16)
    assert round(float(data.train_images[:, 0].max()) * 255) <= 59
    assert round(float(data.test_images[:, 0].min()) * 255) >= 60


def test_the_class_is_the_photograph() -> None:
    data = crops(16, _told_apart())
    green = (data.train_images[:, 1, 0, 0] * 255).round().long()
    assert torch.equal(green, data.train_labels)
    assert data.train_labels.bincount().tolist() == [TRAIN_COUNT, TRAIN_COUNT]
    assert set(data.train_labels[:10].tolist()) == {0, 1}
    assert data.classes == ("one", "two")


def test_crops_are_the_same_in_every_call() -> None:
    assert crops(16, _told_apart()).sha256 == crops(16, _told_apart()).sha256


def test_without_scikit_image_two_photographs_are_cut_in_quarters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colour_crops, "find_spec", lambda name: None)
    found = photographs()
    assert len(found) == 8
    assert "china top left" in found
    assert min(photograph.shape[1] for photograph in found.values()) * 0.4 >= 64


@pytest.mark.parametrize("size", [16, 32, 64])
def test_crops_of_each_size_can_be_had(size: int) -> None:
    data = load_data("image", f"crops-{size}")
    assert data.shape == (3, size, size)
    assert len(data.test) == TEST_COUNT * data.num_classes


def test_with_scikit_image_there_are_ten_photographs() -> None:
    pytest.importorskip("skimage")
    found = photographs()
    assert len(found) == 10
    assert all(photograph.shape[2] == 3 and photograph.dtype == np.uint8 for photograph in found.values())
