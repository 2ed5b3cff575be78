"""The named data sets, loaded once a process: a study makes hundreds of runs on one of them."""

from functools import lru_cache

from normwise.data.image_data import ImageData
from normwise.data.load import NAMED, load_images


def kept_images(source: str) -> ImageData:
    """As :func:`load_images`, but the named set that was asked for last stays in memory, and must not be changed.

    A folder is read anew every time, because its files may have changed since.

    Raises:
        DataError: as :func:`load_images`.
    """
    return _named(source) if source in NAMED else load_images(source)


# One set only: MNIST takes 220 MB, in every process of a study.
@lru_cache(maxsize=1)
def _named(source: str) -> ImageData:
    return load_images(source)
