"""One process at a time in the folder of a run, which is made for it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from normwise.errors import RunError
from normwise.files import is_there, make_folder, reason, remove_leftovers

_LOCK = ".lock"


@contextmanager
def locked(folder: Path, names: Sequence[str], begun: Callable[[], bool], *, wait: bool) -> Iterator[None]:
    """Make a folder and keep other processes out of it, until the end or this process's death.

    What killed processes left of files that they were writing is removed. Where no run has begun when an exception
    comes, what was made for it is removed, too.

    Args:
        folder: Folder of the run.
        names: Names of the files that are written whole in it.
        begun: Tells whether a run has begun in it.
        wait: Whether to wait for another process.

    Raises:
        RunError: another process is at work here, and ``wait`` is off; or the folder can't be made.
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
    """Return what is in a folder.

    Raises:
        RunError: it can't be read.
    """
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise RunError(f"{folder} can't be read: {reason(error)}; choose another folder") from None


def _remove(folder: Path, own: set[str], made: list[Path]) -> None:
    """Remove the files that were not there before a start that failed, and the folders that were made for it."""
    with suppress(OSError):
        for name in own:
            (folder / name).unlink(missing_ok=True)
        for path in made:
            path.rmdir()  # which refuses where another process has put something
