"""What stays in memory for the next run, and what does not."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from normwise.data import digits, kept, kept_images
from normwise.errors import DataError

WriteIdx = Callable[[Path, Mapping[str, np.ndarray]], None]


def test_a_named_set_is_loaded_once() -> None:
    assert kept_images("digits") is kept_images("digits")
    assert kept_images("digits").sha256 == digits().sha256


def test_only_the_set_that_was_asked_for_last_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kept.NAMED, "mnist", digits)
    first = kept_images("digits")
    kept_images("mnist")
    assert kept_images("digits") is not first


def test_a_folder_that_changed_is_read_again(
    tmp_path: Path, arrays: dict[str, np.ndarray], write_idx: WriteIdx
) -> None:
    write_idx(tmp_path, arrays)
    before = kept_images(str(tmp_path))
    write_idx(tmp_path, arrays | {"train-images-idx3-ubyte": 255 - arrays["train-images-idx3-ubyte"]})
    assert kept_images(str(tmp_path)).sha256 != before.sha256


def test_what_cannot_be_loaded_is_the_error_of_loading() -> None:
    with pytest.raises(DataError, match="cifar: is neither a folder nor a known data set"):
        kept_images("cifar")
