from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from normwise.data import load_data
from normwise.errors import DataError

WriteIdx = Callable[[Path, Mapping[str, np.ndarray]], None]


def test_digits_are_known_by_name() -> None:
    assert load_data("image", "digits").name == "digits"


def test_a_folder_with_idx_files_is_read(
    tmp_path: Path, arrays: dict[str, np.ndarray], write_idx: WriteIdx
) -> None:
    write_idx(tmp_path, arrays)
    assert len(load_data("image", str(tmp_path)).train_images) == 6


def test_a_folder_with_train_and_test_is_read(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / part / "a").mkdir(parents=True)
        Image.new("L", (2, 2)).save(tmp_path / part / "a/1.png")
    assert load_data("image", str(tmp_path)).classes == ("a",)


def test_a_folder_beats_a_known_name_when_written_as_a_path(
    tmp_path: Path, arrays: dict[str, np.ndarray], write_idx: WriteIdx, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_idx(tmp_path / "digits", arrays)
    monkeypatch.chdir(tmp_path)
    assert load_data("image", "./digits").shape == (1, 2, 3)


def test_half_a_form_is_reported_by_its_reader(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="has no folder test/"):
        load_data("image", str(tmp_path))


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        DataError, match=r"cifar: is neither a folder nor a known data set \(digits, mnist, fashion-mnist, "
    ):
        load_data("image", "cifar")


def test_a_folder_of_no_form_is_told_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.*train/<class>/.*digits, mnist"):
        load_data("image", str(tmp_path))
