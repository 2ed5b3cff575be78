import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normwise.data import load_data
from normwise.data.images.fashion_mnist import fashion_mnist_from
from normwise.data.images.idx_folder import IDX_NAMES, find_idx
from normwise.errors import DataError

Arrays = dict[str, np.ndarray]
WriteIdx = Callable[[Path, Mapping[str, np.ndarray]], None]


@pytest.fixture
def digests(arrays: Arrays, encode: Callable[[np.ndarray], bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(encode(array)).hexdigest() for name, array in arrays.items()}


def test_it_is_downloaded_into_the_cache(
    arrays: Arrays, digests: dict[str, str], write_idx: WriteIdx, serve: Any, caches: Path, tmp_path: Path
) -> None:
    write_idx(tmp_path / "served", arrays)
    server = serve(tmp_path / "served")
    data = fashion_mnist_from(server.address, digests, tmp_path / "not installed", timeout=5)
    assert data.name == "fashion-mnist"
    assert data.classes[0] == "T-shirt/top"
    assert (caches / "fashion-mnist" / f"{IDX_NAMES[0]}.gz").is_file()


def test_debians_package_is_read_where_it_is_installed(
    arrays: Arrays, digests: dict[str, str], write_idx: WriteIdx, serve: Any, caches: Path, tmp_path: Path
) -> None:
    write_idx(tmp_path / "installed", arrays)
    server = serve(tmp_path)
    data = fashion_mnist_from(server.address, digests, tmp_path / "installed", timeout=5)
    assert len(data.training) == 6
    assert server.requests == []


def test_ones_own_files_come_before_the_package(
    arrays: Arrays, digests: dict[str, str], write_idx: WriteIdx, caches: Path, tmp_path: Path
) -> None:
    write_idx(caches / "fashion-mnist", arrays)
    # Taken first, these would be an error.
    write_idx(tmp_path / "installed", {name: np.zeros(1, np.uint8) for name in IDX_NAMES})
    assert len(fashion_mnist_from("http://127.0.0.1:9", digests, tmp_path / "installed", timeout=5).test) == 3


def test_a_damaged_package_is_named(
    arrays: Arrays, digests: dict[str, str], write_idx: WriteIdx, caches: Path, tmp_path: Path
) -> None:
    write_idx(tmp_path / "installed", arrays | {IDX_NAMES[1]: np.zeros(6, np.uint8)})
    with pytest.raises(DataError, match=r"installed.*the content is not Fashion-MNIST's"):
        fashion_mnist_from("http://127.0.0.1:9", digests, tmp_path / "installed", timeout=5)


def _is_here() -> bool:
    folders = [Path("/usr/share/datasets/fashion-mnist")]
    if "NORMWISE_DATA_DIR" in os.environ:
        folders.append(Path(os.environ["NORMWISE_DATA_DIR"]) / "fashion-mnist")
    return any(all(find_idx(folder, name) for name in IDX_NAMES) for folder in folders)


@pytest.mark.skipif(not _is_here(), reason="neither NORMWISE_DATA_DIR nor Debian's package has Fashion-MNIST")
def test_the_real_fashion_mnist_has_its_known_form() -> None:
    data = load_data("image", "fashion-mnist")
    assert data.train_images.shape == (60_000, 1, 28, 28)
    assert data.train_labels.bincount().tolist() == [6000] * 10
    assert data.train_images.mean().item() == pytest.approx(0.2860, abs=1e-4)
