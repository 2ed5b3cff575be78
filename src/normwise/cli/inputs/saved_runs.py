"""Runs that are saved in a folder."""

from pathlib import Path

from normwise.errors import DataError
from normwise.files import is_file, is_folder, reason


def runs_in(folder: Path) -> list[str]:
    """Return the sorted names of the folders that hold a run in a folder; none if the folder does not exist.

    Raises:
        DataError: the folder can't be read.
    """
    if not is_folder(folder):
        return []
    try:
        return sorted(path.name for path in folder.iterdir() if is_file(path / "run.json"))
    except OSError as error:
        raise DataError(f"{folder} can't be read: {reason(error)}") from None
