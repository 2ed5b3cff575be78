"""A folder of images in one of the forms that are read."""

from pathlib import Path

from normwise.data.images.idx_folder import IDX_NAMES, find_idx, idx_folder
from normwise.data.images.image_data import ImageData
from normwise.data.images.image_folder import image_folder
from normwise.data.registry import named_data
from normwise.errors import DataError
from normwise.files import is_folder


def any_image_folder(directory: Path) -> ImageData:
    """Read a folder with IDX files (:func:`idx_folder`), or with ``train`` and ``test`` (:func:`image_folder`).

    Raises:
        DataError: the folder has neither form, or its data is faulty.
    """
    # One file of a form is enough: the reader of that form then says what else is missing.
    if any(find_idx(directory, name) for name in IDX_NAMES):
        return idx_folder(directory)
    if any(is_folder(directory / part) for part in ("train", "test")):
        return image_folder(directory)
    raise DataError(
        f"{directory}: has neither IDX files ({', '.join(IDX_NAMES)}, each with or without .gz) nor the folders "
        f"train/<class>/ and test/<class>/ with images; known data sets are {', '.join(named_data('image'))}"
    )
