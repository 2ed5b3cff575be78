"""MNIST, the 70,000 handwritten digits of LeCun, Cortes and Burges: found here or downloaded."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

from normwise.data.download import TIMEOUT, cache, download, folders, places
from normwise.data.files.compressed import GZIP_ERRORS, read_up_to, unpacked
from normwise.data.images.idx import array_of, read_content
from normwise.data.images.idx_folder import IDX_NAMES, IdxFile, find_idx, from_idx_files
from normwise.data.images.image_data import ImageData
from normwise.errors import DataError

_ADDRESS = "https://ossci-datasets.s3.amazonaws.com/mnist"
# Of any file, uncompressed; the largest of MNIST's has 47 MB.
_LARGEST = 2**26
# Of the uncompressed content: the archives differ from one server to the next.
_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def mnist() -> ImageData:
    """60,000 training and 10,000 test images of ten digits, grey, 28×28.

    Each file is taken from ``$NORMWISE_DATA_DIR/mnist``, else from the cache, which is the folder
    ``mnist`` in ``$NORMWISE_CACHE_DIR`` or in the user's cache folder, else downloaded into the cache
    (11 MB in all). Its content is compared with its known SHA-256 every time.

    Raises:
        DataError: a file is damaged or not MNIST's, or cannot be downloaded; says which and what to do.
    """
    return mnist_from(_ADDRESS, _SHA256)


def mnist_from(address: str, sha256: Mapping[str, str], *, timeout: float = TIMEOUT) -> ImageData:
    """As :func:`mnist`, but downloaded from ``address`` and compared with the digests ``sha256``.

    Args:
        address: of the folder that has the four ``.gz`` files.
        sha256: hexadecimal, of each of ``IDX_NAMES``, uncompressed.
        timeout: seconds that the server may stay silent.
    """
    return from_idx_files("mnist", [_obtain(name, sha256[name], address, timeout) for name in IDX_NAMES])


def _obtain(name: str, sha256: str, address: str, timeout: float) -> IdxFile:
    path = _find(name) or _download(name, sha256, address, timeout)
    content = read_content(path)
    got = hashlib.sha256(content.raw).hexdigest()
    if got != sha256:
        raise DataError(
            f"{path}: the content is not MNIST's: its SHA-256 is {got}, expected {sha256}; "
            "delete it and run again"
        )
    return IdxFile(path, array_of(content))


def _find(name: str) -> Path | None:
    return next((path for folder in folders("mnist") if (path := find_idx(folder, name))), None)


def _download(name: str, sha256: str, address: str, timeout: float) -> Path:
    target = cache("mnist") / f"{name}.gz"

    def check(content: bytes) -> None:
        got = hashlib.sha256(read_up_to(unpacked(io.BytesIO(content)), _LARGEST)).hexdigest()
        if got != sha256:
            raise OSError(f"the content has SHA-256 {got}, expected {sha256}")

    try:
        download(f"{address}/{target.name}", target, check, timeout)
    except GZIP_ERRORS as error:
        archives = ", ".join(f"{name}.gz" for name in IDX_NAMES)
        raise DataError(
            f"MNIST could not be downloaded from {address}. "
            f"Try again, or put {archives} into {places('mnist')}. "
            f"What went wrong with {target.name}: {error}"
        ) from error
    return target
