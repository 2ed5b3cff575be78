"""Where the files of a known data set lie: the user's folder, the cache, or a server from which they come into it."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from normwise.data.files.user_file import expanded
from normwise.errors import DataError

TIMEOUT = 30.0
#: Letters of a variable that an error shows.
_LONGEST = 100


def folders(name: str) -> list[Path]:
    """Where to look for the set ``name``, first things first; the last is the cache.

    That is ``$NORMWISE_DATA_DIR/NAME``, if the variable is set, and the folder NAME in ``$NORMWISE_CACHE_DIR`` or in
    the user's cache folder.
    """
    data = os.environ.get("NORMWISE_DATA_DIR")
    return [_named(data, "NORMWISE_DATA_DIR") / name, cache(name)] if data else [cache(name)]


def cache(name: str) -> Path:
    """The folder of the set ``name`` in the cache."""
    import pooch

    own = os.environ.get("NORMWISE_CACHE_DIR")
    return (_named(own, "NORMWISE_CACHE_DIR") if own else expanded(pooch.os_cache("normwise"))) / name


def places(name: str) -> str:
    """Where a user can put the files of the set, in words."""
    text = " or ".join(str(folder) for folder in folders(name))
    if os.environ.get("NORMWISE_DATA_DIR"):
        return text
    return f"{text}, or into {name}/ in a folder that the environment variable NORMWISE_DATA_DIR names"


def download(address: str, target: Path, check: Callable[[bytes], None], timeout: float) -> None:
    """Get one file whole, look at its content, and put it into its place at once.

    Args:
        address: Of the file.
        target: In the cache.
        check: Raises where the content is not what it must be.
        timeout: Seconds that the server may stay silent.

    Raises:
        OSError: it can't be got or written.
    """
    import pooch

    # Whole answers, at most 20 MB: a stream that fails midway leaves its connection open.
    fetch = pooch.HTTPDownloader(timeout=timeout, stream=False)
    target.parent.mkdir(parents=True, exist_ok=True)
    # A folder of our own beside the target: two processes never write one file, and the move into
    # place happens at once, so that no other process ever sees half a file.
    with tempfile.TemporaryDirectory(prefix=".download-", dir=target.parent) as folder:
        part = Path(folder, target.name)
        fetch(address, part, None)
        check(part.read_bytes())
        part.replace(target)


def _named(folder: str, variable: str) -> Path:
    """Return the folder that an environment variable names, which need not be there yet."""
    try:
        path = expanded(folder)
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            path.stat()
    except (DataError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"the environment variable {variable} names no folder ({reason}): "
            f"{folder if len(folder) <= _LONGEST else folder[:_LONGEST] + '...'}; set it to one, or leave it out"
        ) from error
    return path
