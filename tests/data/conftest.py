"""Tiny data sets on disk."""

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from normwise.data.idx_folder import IDX_NAMES


def idx_bytes(array: np.ndarray) -> bytes:
    """The IDX file of an array, written here anew so that the reader is not checked against itself."""
    code = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}[array.dtype.name]
    dims = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, code, array.ndim]) + dims + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def encode() -> Callable[[np.ndarray], bytes]:
    return idx_bytes


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """Four arrays that make up a data set: six training and three test images, 2×3, of three classes."""
    generator = np.random.default_rng(0)
    contents = (
        generator.integers(0, 256, (6, 2, 3), dtype=np.uint8),
        np.array([0, 1, 2, 0, 1, 2], dtype=np.uint8),
        generator.integers(0, 256, (3, 2, 3), dtype=np.uint8),
        np.array([2, 1, 0], dtype=np.uint8),
    )
    return dict(zip(IDX_NAMES, contents, strict=True))


@pytest.fixture
def write_idx() -> Callable[[Path, Mapping[str, np.ndarray]], None]:
    """Writes arrays into a folder as gzipped IDX files."""

    def write(folder: Path, contents: Mapping[str, np.ndarray]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in contents.items():
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array)))

    return write
