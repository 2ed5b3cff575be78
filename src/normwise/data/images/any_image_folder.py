"""A folder of images in one of the forms that are read."""

from pathlib import Path

from normwise.data.images.idx_folder import IDX_NAMES, find_idx, idx_folder
from normwise.data.images.image_data import ImageData
from normwise.data.images.image_file import SUFFIXES
from normwise.data.images.image_folder import has_form, image_folder
from normwise.data.options import ImageOptions
from normwise.data.registry import named_data
from normwise.errors import ArgumentError, DataError


def any_image_folder(directory: Path, options: ImageOptions | None = None) -> ImageData:
    """Read a folder with IDX files (:func:`idx_folder`), or with image files (:func:`image_folder`).

    Raises:
        ArgumentError: a size for IDX files, which have one.
        DataError: the folder has neither form, or its data is faulty.
    """
    # One file of a form is enough: the reader of that form then says what else is missing.
    if any(find_idx(directory, name) for name in IDX_NAMES):
        if options is not None and options.size is not None:
            raise ArgumentError(
                f"size={options.size} is for folders of image files, and {directory} has IDX files; leave it out"
            )
        return idx_folder(directory)
    if has_form(directory):
        return image_folder(directory, options)
    raise DataError(
        f"{directory}: has neither IDX files ({', '.join(IDX_NAMES)}, each with or without .gz) nor the folders "
        f"train/<class>/ and test/<class>/, or <class>/, with images ({' '.join(SUFFIXES)}); known data sets are "
        f"{', '.join(named_data('image'))}"
    )
