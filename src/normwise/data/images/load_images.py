"""Any set of images by its name or its folder."""

from normwise.data.files.user_file import expanded, is_folder
from normwise.data.images.digits import digits
from normwise.data.images.idx_folder import IDX_NAMES, find_idx, idx_folder
from normwise.data.images.image_data import ImageData
from normwise.data.images.image_folder import image_folder
from normwise.data.images.mnist import mnist
from normwise.errors import DataError

#: The sets of images that are known by a name.
IMAGES = {"digits": digits, "mnist": mnist}


def load_images(source: str) -> ImageData:
    """The data set that ``source`` means.

    Args:
        source: "digits", "mnist", or a folder: with IDX files (:func:`idx_folder`), or with
            ``train`` and ``test`` (:func:`image_folder`). For a folder named as a known set is, write
            ``./digits``.

    Raises:
        DataError: there is no such name or folder, the folder has neither form, or its data is faulty.
    """
    if source in IMAGES:
        return IMAGES[source]()
    directory = expanded(source)
    if not is_folder(directory):
        raise DataError(f"{source}: is neither a folder nor a known data set ({', '.join(IMAGES)})")
    # One file of a form is enough: the reader of that form then says what else is missing.
    if any(find_idx(directory, name) for name in IDX_NAMES):
        return idx_folder(directory)
    if any(is_folder(directory / part) for part in ("train", "test")):
        return image_folder(directory)
    raise DataError(
        f"{source}: has neither IDX files ({', '.join(IDX_NAMES)}, each with or without .gz) nor the folders "
        f"train/<class>/ and test/<class>/ with images; known data sets are {', '.join(IMAGES)}"
    )
