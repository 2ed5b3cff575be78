"""Files that are read within size limits, and written completely or not at all."""

import errno
import os
import re
import stat
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from normwise.errors import RunError

#: Largest document, in bytes: records have kilobytes, large studies some megabytes.
LARGEST = 64 * 2**20
#: Room that a temporary file's name leaves for the name of its target, in bytes; file systems allow 255 in all.
_NAME = 200
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{32}")


def is_there(path: Path) -> bool:
    """Return whether a path exists; an invalid name does not."""
    return _mode(path) is not None


def is_file(path: Path) -> bool:
    """Return whether a path is a regular file, or a link to one (not a folder, device or FIFO)."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder, or a link to one."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def make_folder(path: Path) -> None:
    """Make a folder and its parents, unless it exists.

    Raises:
        RunError: the folder can't be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} can't be made a folder: {reason(error)}; choose another place") from None


def read_whole(path: Path, *, most: int = LARGEST) -> bytes:
    """Read a regular file of at most ``most`` bytes.

    Raises:
        RunError: the file does not exist, is larger, or is not a regular file (a FIFO, for example, is not opened).
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise RunError(f"{path} is {_kind(status.st_mode)}; expected a file")
        content = b""
        if status.st_size <= most:
            with path.open("rb") as file:
                content = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} can't be read: {reason(error)}") from None
    if max(status.st_size, len(content)) > most:
        raise RunError(f"{path} has more than {most:,} bytes, which no such file of normwise's has")
    return content


def write_whole(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file atomically: a reader finds either the old content or the new one, complete.

    Concurrent writers don't conflict: each has its own temporary file, and the last to finish wins. A replaced file
    keeps its mode and, if this process may set it, its owner. A symbolic link is kept: its target is written. A
    FIFO, a character device, or an open descriptor such as ``/dev/stdout`` is written to directly.

    Args:
        path: File to write.
        content: New content of the file.
        durable: Whether this also holds after a power failure, for which the call waits for the disk.

    Raises:
        RunError: the folder does not exist or can't be written to, the file may not be written to, the FIFO has no
            reader, or the path is a folder, a block device or a socket.
    """
    try:
        mode = _mode_or_none(path)
        if mode is not None and not stat.S_ISREG(mode):
            _write_into(path, mode, content)
        elif _is_descriptor(path):
            _write_into(path, stat.S_IFCHR, content)
        else:
            _replace(Path(os.path.realpath(path)) if path.is_symlink() else path, content, durable)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} can't be written: {reason(error)}; choose another place") from None


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove temporary files that killed processes left behind for these files.

    Call it only if no other process writes these files, as when holding the folder's lock.
    """
    names = set(names)
    with suppress(OSError):
        for path in list(folder.iterdir()):
            found = _TEMPORARY.fullmatch(path.name)
            if found and found[1] in names:
                path.unlink()


def reason(error: Exception) -> str:
    """Return the system's reason, without the path, which our error names already."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (OSError, ValueError):  # for a name that is too long, or has a NUL
        return None


def _mode_or_none(path: Path) -> int | None:
    """Return the mode of the path's target; None if it does not exist. Raise OSError for any other problem."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a block device",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "no regular file")


def _is_descriptor(path: Path) -> bool:
    """Return whether the path names an open descriptor, to whose file another writer may write."""
    for _ in range(40):  # the number of links that systems follow
        # /dev/stdout and /dev/fd/1 are links to /proc/self/fd/1, or lie in one.
        if Path("/proc") in Path(os.path.realpath(path.parent), path.name).parents:
            return True
        if not path.is_symlink():
            return False
        path = path.parent / path.readlink()
    return False


def _write_into(path: Path, mode: int, content: bytes) -> None:
    """Write to a path that can't be replaced: a FIFO, a character device, an open descriptor."""
    if not (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)):
        raise OSError(0, f"it is {_kind(mode)}")
    try:
        # Without O_NONBLOCK, opening a FIFO without a reader would block, perhaps for ever.
        number = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise OSError(0, "it has no reader") from None
    with os.fdopen(number, "wb", buffering=0) as file:
        os.set_blocking(number, True)
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]


def _replace(path: Path, content: bytes, durable: bool) -> None:
    """Write a new file next to the path and rename it over the old one."""
    old = None
    with suppress(FileNotFoundError):
        old = path.stat()
        if not os.access(path, os.W_OK):
            raise OSError(0, "the file is read-only")
    # As much of the name as fits; the cut may split a character of the file system's encoding.
    name = os.fsdecode(os.fsencode(path.name)[:_NAME])
    temporary = path.with_name(f".{name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            if old is not None:
                _take_over(file.fileno(), old)
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def _take_over(number: int, old: os.stat_result) -> None:
    """Give an open file the mode, and if permitted the owner, of the file that it will replace."""
    if not hasattr(os, "fchmod"):  # Windows
        return
    new = os.fstat(number)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with suppress(OSError):
            os.fchown(number, old.st_uid, old.st_gid)
    os.fchmod(number, stat.S_IMODE(old.st_mode))
