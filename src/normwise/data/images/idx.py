"""The IDX format of the MNIST files: a header that says type and shape, then the numbers.

The format is described at the end of the page that first offered MNIST,
http://yann.lecun.com/exdb/mnist/ : two zero bytes, a byte for the type, a byte for the number of
dimensions, each dimension as a big-endian 32-bit integer, and the elements, big-endian, last
dimension fastest.
"""

import math
import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from normwise.data.files.compressed import GZIP_ERRORS, LARGEST_RATIO, is_gzipped, read_up_to, unpacked
from normwise.data.files.user_file import opened
from normwise.errors import DataError

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_LARGEST = 2**31
#: A small archive can honestly promise any number of zeros: one that unpacks to more than these many bytes, and to more
#: than these many times its size, is none of images or labels. MNIST's unpack to 5 times their size.
_LARGEST_OF_ZEROS, _USUAL_RATIO = 2**28, 100
_REMEDY = "delete the file and get it again"


class IdxContent(NamedTuple):
    """Content of an IDX file, uncompressed, limited to the length that its header states."""

    raw: bytearray
    dtype: np.dtype
    shape: tuple[int, ...]


def read_idx(path: str | Path) -> np.ndarray:
    """Return the array in an IDX file, gzipped or not, in this machine's byte order.

    Raises:
        DataError: the file cannot be read, is not IDX, is corrupt, or is longer or shorter than its
            header says, which promises 2 GiB at most.
    """
    return array_of(read_content(path))


def read_content(path: str | Path) -> IdxContent:
    """Read an IDX file, gzipped or not.

    Raises:
        DataError: as for :func:`read_idx`.
    """
    with opened(path) as file:
        return idx_content(file, path)


def idx_content(file: BinaryIO, path: str | Path) -> IdxContent:
    """Read the header, the numbers that it promises, and no further but to see that the file ends there.

    Args:
        file: Content of the file from its start, gzipped or not.
        path: Path of the file, for the error.

    Raises:
        DataError: as for :func:`read_idx`.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    zipped = is_gzipped(file)
    try:
        stream = unpacked(file)
        raw = read_up_to(stream, 4)
        if len(raw) == 4:
            raw += read_up_to(stream, 4 * raw[3])
        dtype, shape = _parse_header(raw, path)
        promised = math.prod(shape) * dtype.itemsize
        _check_size(promised, size * LARGEST_RATIO if zipped else size - len(raw), dtype, shape, path)
        if zipped and promised > max(_LARGEST_OF_ZEROS, _USUAL_RATIO * size):
            raise DataError(
                f"{path}: {size:,} bytes would unpack to {promised:,}; if that is right, unpack it with gunzip"
            )
        start = len(raw)
        raw += read_up_to(stream, promised)
        if (got := len(raw) - start) < promised:
            raise _wrong_size("cut short", promised, f"{got}", dtype, shape, path)
        # An archive's check sum is compared where it ends.
        if stream.read(1):
            more = "more" if zipped else f"{size - start}"
            raise _wrong_size("too long", promised, more, dtype, shape, path)
    except GZIP_ERRORS as error:
        what = "the gzip archive is corrupt or cut short" if zipped else "cannot be read"
        raise DataError(f"{path}: {what} ({error}); {_REMEDY}") from error
    try:
        np.ndarray(shape, dtype, raw, offset=start)
    except ValueError as error:
        # A damaged header can ask for 255 dimensions, or for huge ones beside a zero.
        raise DataError(f"{path}: no array can have the shape {shape} of its header; {_REMEDY}") from error
    return IdxContent(raw, dtype, shape)


def array_of(content: IdxContent) -> np.ndarray:
    """Return the array in a content, in this machine's byte order; it may be changed."""
    stored = np.ndarray(content.shape, content.dtype, content.raw, offset=4 + 4 * len(content.shape))
    return stored.astype(content.dtype.newbyteorder("="), copy=False)


def _check_size(promised: int, room: int, dtype: np.dtype, shape: tuple[int, ...], path: str | Path) -> None:
    """Refuse a promise that the file can't keep, or that memory can't, before anything is read for it."""
    if promised > room:
        raise _wrong_size("cut short", promised, f"{room}", dtype, shape, path)
    if promised > _LARGEST:
        raise DataError(
            f"{path}: has {promised:,} bytes for shape {shape} of {dtype.name}, expected {_LARGEST:,} at most; "
            "split it into smaller files"
        )


def _wrong_size(
    fault: str, promised: int, got: str, dtype: np.dtype, shape: tuple[int, ...], path: str | Path
) -> DataError:
    return DataError(
        f"{path}: {fault}: the header promises {promised} bytes for shape {shape} of {dtype.name}, "
        f"got {got}; {_REMEDY}"
    )


def _parse_header(raw: bytearray, path: str | Path) -> tuple[np.dtype, tuple[int, ...]]:
    if not raw:
        raise DataError(f"{path}: is empty; {_REMEDY}")
    if not b"\0\0".startswith(raw[:2]):
        raise DataError(
            f"{path}: is not an IDX file: it starts with the bytes {raw[:2].hex(' ')}, expected 00 00; {_REMEDY}"
        )
    # Without its fourth byte, a header has no dimensions to count and is cut short in any case.
    header_size = 4 + 4 * raw[3] if len(raw) > 3 else 4
    if len(raw) < header_size:
        raise DataError(
            f"{path}: cut short within the header: expected at least {header_size} bytes, got {len(raw)}; {_REMEDY}"
        )
    if raw[2] not in _TYPES:
        known = ", ".join(f"{code:02x}" for code in _TYPES)
        raise DataError(f"{path}: unknown type code {raw[2]:02x}, expected one of {known}; {_REMEDY}")
    dims = np.frombuffer(bytes(raw), ">u4", count=raw[3], offset=4)
    return np.dtype(_TYPES[raw[2]]), tuple(int(dim) for dim in dims)
