"""Fashion-MNIST, 70,000 photographs of clothes by Zalando: found here, installed or downloaded."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from normwise.data.files.known_files import TIMEOUT
from normwise.data.images.image_data import ImageData
from normwise.data.images.known_idx import KnownIdx

_ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
#: Folder of Debian's package dataset-fashion-mnist.
INSTALLED = Path("/usr/share/datasets/fashion-mnist")
_CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


def fashion_mnist() -> ImageData:
    """Return 60,000 training and 10,000 test images of ten kinds of clothes, grey, 28×28.

    Each file is taken from ``$NORMWISE_DATA_DIR/fashion-mnist``, else from the cache, which is the folder
    ``fashion-mnist`` in ``$NORMWISE_CACHE_DIR`` or in the user's cache folder, else from Debian's package
    dataset-fashion-mnist where it is installed, else downloaded into the cache (31 MB in all). Its content is compared
    with its known SHA-256 every time.

    Raises:
        DataError: a file is damaged or not Fashion-MNIST's, or cannot be downloaded; says which and what to do.

    Reference: Xiao, Rasul & Vollgraf 2017, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms.
    """
    return fashion_mnist_from(_ADDRESS, _SHA256, INSTALLED)


def fashion_mnist_from(
    address: str, sha256: Mapping[str, str], installed: Path, *, timeout: float = TIMEOUT
) -> ImageData:
    """Do the same as :func:`fashion_mnist`, with another server, other digests and another folder of the package."""
    known = KnownIdx("fashion-mnist", "Fashion-MNIST", address, sha256, installed)
    return replace(known.images(timeout), classes=_CLASSES)
