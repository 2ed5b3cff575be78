"""The IDX format of the MNIST files: a header that says type and shape, then the numbers.

The format is described at the end of the page that first offered MNIST,
http://yann.lecun.com/exdb/mnist/ : two zero bytes, a byte for the type, a byte for the number of
dimensions, each dimension as a big-endian 32-bit integer, and the elements, big-endian, last
dimension fastest.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from normwise.errors import DataError

# What Python's gzip raises for an archive that is damaged or cut short.
GZIP_ERRORS = (OSError, EOFError, zlib.error)

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"
_REMEDY = "delete the file and get it again"


def read_idx(path: str | Path) -> np.ndarray:
    """The array in an IDX file, gzipped or not, in this machine's byte order.

    Raises:
        DataError: the file cannot be read, is not IDX, is corrupt, or is longer or shorter than its
            header says.
    """
    return parse_idx(read_content(path), path)


def read_content(path: str | Path) -> bytes:
    """The file's bytes, uncompressed where they are gzipped.

    Raises:
        DataError: the file cannot be read, or is a damaged archive.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return gunzipped(raw)
    except GZIP_ERRORS as error:
        raise DataError(f"{path}: the gzip archive is corrupt or cut short ({error}); {_REMEDY}") from error


def gunzipped(raw: bytes) -> bytes:
    """``raw``, uncompressed if it starts as a gzip archive does: names are not to be relied on.

    Raises:
        One of ``GZIP_ERRORS``: the archive is damaged.
    """
    return gzip.decompress(raw) if raw.startswith(_GZIP_MAGIC) else raw


def parse_idx(content: bytes, path: str | Path) -> np.ndarray:
    """The array that the uncompressed bytes of an IDX file hold; ``path`` is for the error only.

    Raises:
        DataError: as for :func:`read_idx`.
    """
    dtype, shape = _parse_header(content, path)
    start = 4 + 4 * len(shape)
    promised = math.prod(shape) * dtype.itemsize
    got = len(content) - start
    if got != promised:
        fault = "cut short" if got < promised else "too long"
        raise DataError(
            f"{path}: {fault}: the header promises {promised} bytes for shape {shape} of {dtype.name}, "
            f"got {got}; {_REMEDY}"
        )
    try:
        stored = np.ndarray(shape, dtype, content, offset=start)
    except ValueError as error:
        # A damaged header can ask for 255 dimensions, or for huge ones beside a zero.
        raise DataError(f"{path}: no array can have the shape {shape} of its header; {_REMEDY}") from error
    return stored.astype(dtype.newbyteorder("="))


def _parse_header(content: bytes, path: str | Path) -> tuple[np.dtype, tuple[int, ...]]:
    if not content:
        raise DataError(f"{path}: is empty; {_REMEDY}")
    if not b"\0\0".startswith(content[:2]):
        raise DataError(
            f"{path}: is no IDX file: it starts with the bytes {content[:2].hex(' ')}, expected 00 00; "
            f"{_REMEDY}"
        )
    # Without its fourth byte, a header has no dimensions to count and is cut short in any case.
    header_size = 4 + 4 * content[3] if len(content) > 3 else 4
    if len(content) < header_size:
        raise DataError(
            f"{path}: cut short within the header: expected at least {header_size} bytes, "
            f"got {len(content)}; {_REMEDY}"
        )
    if content[2] not in _TYPES:
        known = ", ".join(f"{code:02x}" for code in _TYPES)
        raise DataError(f"{path}: unknown type code {content[2]:02x}, expected one of {known}; {_REMEDY}")
    dims = np.frombuffer(content, ">u4", count=content[3], offset=4)
    return np.dtype(_TYPES[content[2]]), tuple(int(dim) for dim in dims)
