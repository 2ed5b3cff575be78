"""``metrics.jsonl`` of a run: a line for each measured point."""

import os
from pathlib import Path

from normwise.errors import RunError
from normwise.files import is_file, is_there, read_whole, reason
from normwise.records import Point, record_of, to_json

#: Largest size of ``metrics.jsonl``, in bytes: a line has hundreds.
_LARGEST = 2**30


class Metrics:
    """The points of a run on disk.

    Args:
        path: File of the points, which need not exist yet.
    """

    def __init__(self, path: Path):
        self._path = path

    def append(self, point: Point) -> None:
        """Add a line."""
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(to_json(point) + "\n")
        except OSError as error:
            raise RunError(f"{self._path} can't be written to: {reason(error)}") from None

    def size(self) -> int:
        """Flush the file to the disk, and return its size in bytes, which a checkpoint stores."""
        if not is_there(self._path):
            return 0
        with self._path.open("rb") as file:
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_size

    def truncate(self, size: int, checkpoint: str) -> None:
        """Cut off the lines that follow a checkpoint, by the size in bytes that the file had then.

        Raises:
            RunError: the file is shorter, or is not a regular file.
        """
        if is_there(self._path) and not is_file(self._path):
            raise RunError(f"{self._path} is not a regular file. Delete the folder to start again")
        got = self._path.stat().st_size if is_there(self._path) else 0
        if got < size:
            raise RunError(
                f"{self._path} has {got} bytes, but {checkpoint} was saved when it had {size}: "
                "the two don't belong together. Delete the folder to start again"
            )
        if got > size:
            os.truncate(self._path, size)

    def points(self, steps: int | None) -> tuple[Point, ...]:
        """Return the points.

        Args:
            steps: Steps of the run, if it has ended; None if its last line may be incomplete.

        Raises:
            RunError: the file is damaged, or ends before the run does.
        """
        content = read_whole(self._path, most=_LARGEST) if is_there(self._path) else b""
        lines = content.splitlines()
        if steps is None and not content.endswith(b"\n"):
            lines = lines[:-1]  # a line that a killed process did not finish
        advice = "Restore the file, or start again in another folder"
        points = tuple(record_of(self._path, Point, line, advice) for line in lines)
        if steps is not None and (not points or points[-1].step != steps):
            raise RunError(
                f"{self._path} ends before the run does, at step {steps}; delete the folder to start again"
            )
        return points
