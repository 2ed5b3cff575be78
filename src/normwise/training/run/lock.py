"""Lock of a run's folder: one process at a time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from normwise.errors import RunError
from normwise.files import is_there, make_folder, reason, remove_leftovers

_LOCK = ".lock"


@contextmanager
def locked(folder: Path, names: Sequence[str], begun: Callable[[], bool], *, wait: bool) -> Iterator[None]:
    """Make a folder and lock it against other processes, until the end of the context or of this process.

    Incomplete files of killed processes are removed. If an exception arrives before a run has begun, everything
    made for it is removed, too.

    Args:
        folder: Folder of the run.
        names: Names of the files that are written to it completely or not at all.
        begun: Function that returns whether a run has begun in it.
        wait: Whether to wait for another process.

    Raises:
        RunError: another process works in the folder and ``wait`` is off; or the folder can't be made.
    """
    missing = [path for path in (folder, *folder.parents) if not is_there(path)]
    make_folder(folder)
    own = {_LOCK, *names} - {path.name for path in contents(folder)}
    lock = FileLock(folder / _LOCK, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        raise RunError(
            f"another process is at work in {folder}; wait for it, or choose another folder"
        ) from None
    except OSError as error:
        _remove(folder, own, missing)
        raise RunError(f"{folder} can't be written to: {reason(error)}; choose another place") from None
    try:
        remove_leftovers(folder, names)
        yield
    except BaseException:
        if not begun():
            _remove(folder, own, missing)
        raise
    finally:
        lock.release()


def contents(folder: Path) -> list[Path]:
    """Return the paths in a folder.

    Raises:
        RunError: the folder can't be read.
    """
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise RunError(f"{folder} can't be read: {reason(error)}; choose another folder") from None


def _remove(folder: Path, own: set[str], made: list[Path]) -> None:
    """Remove the files and folders that a failed start made."""
    with suppress(OSError):
        for name in own:
            (folder / name).unlink(missing_ok=True)
        for path in made:
            path.rmdir()  # rmdir refuses if another process has put a file there
