"""MNIST, the 70,000 handwritten digits of LeCun, Cortes and Burges: found here or downloaded."""

from collections.abc import Mapping

from normwise.data.files.known_files import TIMEOUT
from normwise.data.images.image_data import ImageData
from normwise.data.images.known_idx import KnownIdx

_ADDRESS = "https://ossci-datasets.s3.amazonaws.com/mnist"
_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def mnist() -> ImageData:
    """Return 60,000 training and 10,000 test images of ten digits, grey, 28×28.

    Each file is taken from ``$NORMWISE_DATA_DIR/mnist``, else from the cache, which is the folder
    ``mnist`` in ``$NORMWISE_CACHE_DIR`` or in the user's cache folder, else downloaded into the cache
    (11 MB in all). Its content is compared with its known SHA-256 every time.

    Raises:
        DataError: a file is damaged or not MNIST's, or cannot be downloaded; says which and what to do.
    """
    return mnist_from(_ADDRESS, _SHA256)


def mnist_from(address: str, sha256: Mapping[str, str], *, timeout: float = TIMEOUT) -> ImageData:
    """Do the same as :func:`mnist`, but download from ``address`` and compare with the digests ``sha256``.

    Args:
        address: Folder on a server that has the four ``.gz`` files.
        sha256: Hexadecimal, of each of ``IDX_NAMES``, uncompressed.
        timeout: Seconds that the server may stay silent.
    """
    return KnownIdx("mnist", "MNIST", address, sha256).images(timeout)
