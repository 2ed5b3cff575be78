from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from normwise.data import idx_folder
from normwise.data.images.idx_folder import IDX_NAMES
from normwise.errors import DataError

Arrays = dict[str, np.ndarray]
WriteIdx = Callable[[Path, Mapping[str, np.ndarray]], None]
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = IDX_NAMES


def test_the_four_files_are_read(tmp_path: Path, arrays: Arrays, write_idx: WriteIdx) -> None:
    write_idx(tmp_path, arrays)
    data = idx_folder(tmp_path, "tiny")
    assert (data.name, data.shape, data.classes) == ("tiny", (1, 2, 3), ("0", "1", "2"))
    expected = torch.tensor(arrays[TRAIN_IMAGES] / 255, dtype=torch.float32).unsqueeze(1)
    torch.testing.assert_close(data.train_images, expected)
    assert data.train_labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert data.test_labels.tolist() == [2, 1, 0]


def test_without_a_name_it_is_the_folders(tmp_path: Path, arrays: Arrays, write_idx: WriteIdx) -> None:
    write_idx(tmp_path / "letters", arrays)
    assert idx_folder(tmp_path / "letters").name == "letters"


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("separator", ["-idx", ".idx"])
def test_every_spelling_is_found(
    separator: str, end: str, tmp_path: Path, arrays: Arrays, write_idx: WriteIdx
) -> None:
    write_idx(tmp_path, arrays)
    # Still gzipped where the name ends without .gz: only the content counts.
    for name in IDX_NAMES:
        (tmp_path / f"{name}.gz").rename(tmp_path / (name.replace("-idx", separator) + end))
    assert len(idx_folder(tmp_path).train_images) == 6


def test_colour_channels_come_last_in_the_file(tmp_path: Path, arrays: Arrays, write_idx: WriteIdx) -> None:
    colour = np.arange(6 * 2 * 3 * 3, dtype=np.uint8).reshape(6, 2, 3, 3)
    write_idx(tmp_path, arrays | {TRAIN_IMAGES: colour, TEST_IMAGES: colour[:3]})
    data = idx_folder(tmp_path)
    assert data.shape == (3, 2, 3)
    assert data.train_images[1, 2, 0, 1].mul(255).round() == colour[1, 0, 1, 2]


def test_missing_files_are_listed(tmp_path: Path, arrays: Arrays, write_idx: WriteIdx) -> None:
    write_idx(tmp_path, {TRAIN_IMAGES: arrays[TRAIN_IMAGES], TEST_LABELS: arrays[TEST_LABELS]})
    with pytest.raises(DataError, match=f"missing {TRAIN_LABELS}, {TEST_IMAGES} ") as caught:
        idx_folder(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (TRAIN_IMAGES, np.zeros((6, 2, 3), np.float32), "holds float32 of shape .*expected images: uint8"),
        (TRAIN_IMAGES, np.zeros((6, 6), np.uint8), r"holds uint8 of shape \(6, 6\)"),
        (TEST_IMAGES, np.zeros((0, 2, 3), np.uint8), "is an empty set"),
        (TRAIN_LABELS, np.zeros(6, np.int32), r"holds int32 of shape \(6,\), expected labels: uint8"),
        (
            TRAIN_LABELS,
            np.zeros(5, np.uint8),
            f"{TRAIN_IMAGES}.* has 6 images but .*{TRAIN_LABELS}.* has 5 labels",
        ),
        (TEST_IMAGES, np.zeros((3, 3, 3), np.uint8), f"{TRAIN_IMAGES}.*but .*{TEST_IMAGES}.* of"),
    ],
)
def test_files_that_do_not_fit_are_named(
    name: str, array: np.ndarray, message: str, tmp_path: Path, arrays: Arrays, write_idx: WriteIdx
) -> None:
    write_idx(tmp_path, arrays | {name: array})
    with pytest.raises(DataError, match=message) as caught:
        idx_folder(tmp_path)
    assert name in str(caught.value)
