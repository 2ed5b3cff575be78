"""Folders in which the files of a known data set may lie: the user's own, and the cache."""

import os
from contextlib import suppress
from pathlib import Path

from normwise.data.files.user_file import expanded
from normwise.errors import DataError
from normwise.extras import needs_extra

#: Letters of a variable that an error shows.
_LONGEST = 100


def data_folders(name: str) -> list[Path]:
    """Return the folders to look for the set ``name`` in, first things first; the last is the cache.

    These are ``$NORMWISE_DATA_DIR/NAME``, if the variable is set, and the folder NAME in ``$NORMWISE_CACHE_DIR`` or in
    the user's cache folder.
    """
    data = os.environ.get("NORMWISE_DATA_DIR")
    return (
        [_folder_in(data, "NORMWISE_DATA_DIR") / name, cache_folder(name)] if data else [cache_folder(name)]
    )


def cache_folder(name: str) -> Path:
    """Return the folder of the set ``name`` in the cache."""
    with needs_extra("study", f"the data set {name}"):
        import pooch

    own = os.environ.get("NORMWISE_CACHE_DIR")
    return (_folder_in(own, "NORMWISE_CACHE_DIR") if own else expanded(pooch.os_cache("normwise"))) / name


def folders_in_words(name: str) -> str:
    """Say where a user can put the files of the set."""
    text = " or ".join(str(folder) for folder in data_folders(name))
    if os.environ.get("NORMWISE_DATA_DIR"):
        return text
    return f"{text}, or into {name}/ in a folder that the environment variable NORMWISE_DATA_DIR names"


def _folder_in(value: str, variable: str) -> Path:
    """Return the folder that an environment variable names, which need not be there yet."""
    try:
        path = expanded(value)
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            path.stat()
    except (DataError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"the environment variable {variable} names no folder ({reason}): "
            f"{value if len(value) <= _LONGEST else value[:_LONGEST] + '...'}; set it to one, or leave it out"
        ) from error
    return path
