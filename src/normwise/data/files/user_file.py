"""Files and folders that a user names: regular files only, read up to a bound, one error for all that can go wrong."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from normwise.errors import DataError

_OTHER_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def expanded(path: str | Path) -> Path:
    """Return the path with a leading ``~`` or ``~name`` replaced by the home folder.

    Raises:
        DataError: there is no such user, or the path has a NUL, which no name can have.
    """
    if "\0" in str(path):
        raise DataError(f"{str(path)!r}: no file name has a NUL; give another path")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DataError(
            f"{path}: there is no home folder to put for the ~; write the path without it"
        ) from error


def entries(folder: Path) -> list[Path]:
    """Return all that is in a folder, by name, except what has a name that starts with a dot.

    Raises:
        DataError: the folder can't be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be read ({error.strerror})") from error


@contextmanager
def opened(path: str | Path, largest: int | None = None) -> Iterator[BinaryIO]:
    """Open a regular file, or a link to one, for reading.

    Reading a named pipe or a device could wait for ever or never end, so anything else is refused without opening it.

    Args:
        path: Path of the file.
        largest: Bytes that it may have at most. A file of holes takes no room on the disk, and all of its size in
            memory.

    Raises:
        DataError: the file can't be opened or read, it is no regular file, or it is larger; also where the code within
            the ``with`` meets an OSError of this file.
    """
    try:
        kind = stat.S_IFMT(Path(path).stat().st_mode)
        if kind != stat.S_IFREG:
            what = _OTHER_KINDS.get(kind, "of another kind")
            raise DataError(f"{path}: is {what}, expected a regular file; give another path")
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if largest is not None and size > largest:
                raise DataError(
                    f"{path}: has {size:,} bytes, expected {largest:,} at most; replace it or split it"
                )
            yield file
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        if "\0" not in str(path):
            raise
        raise DataError(f"{str(path)!r}: no file name has a NUL; give another path") from error


def read_user_file(path: str | Path, largest: int) -> bytes:
    """Return the content of a regular file that has at most ``largest`` bytes.

    Raises:
        DataError: as :func:`opened`.
    """
    with opened(path, largest) as file:
        # No further, even if it grows meanwhile; reading so many bytes takes the memory at once, be they there or not.
        return file.read(os.fstat(file.fileno()).st_size)


def check_unicode(name: str, what: str) -> None:
    r"""Raise DataError for a name that UTF-8 can't hold: no record of a run could have it.

    Python gives bytes of a file name that are not UTF-8 as lone surrogates. The message shows such a byte as ``\xe9``.

    Args:
        name: Name of a file or folder, or part of it.
        what: Description of the named object, for the message.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{what} '{shown(name)}' is not UTF-8, which the files of a run are written in; rename it"
        ) from error


def shown(name: str) -> str:
    r"""Return the name with what is not UTF-8 escaped: bytes as ``\xe9``, other lone surrogates as ``\ud800``."""
    try:
        return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
    except UnicodeEncodeError:
        return name.encode(errors="backslashreplace").decode()
