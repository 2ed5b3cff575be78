"""A recording on disk: ``recording.json`` and ``metrics.jsonl``."""

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from normwise.errors import RunError
from normwise.files import is_folder, is_there, read_whole, reason, write_whole
from normwise.records import Recording, WatchedStep, read_record, record_of, to_json

_SURROGATES = re.compile("[\ud800-\udfff]")
#: Largest ``metrics.jsonl``, in bytes, and advice for a file that is not ours.
_LARGEST, _ADVICE = 2**30, "Record again"


class RecordingFolder:
    """Files of one recording: ``recording.json``, and ``metrics.jsonl`` with one appended line per record."""

    def __init__(self, path: Path):
        self.path = path
        self._head = path / "recording.json"
        self._metrics = path / "metrics.jsonl"
        self._file: BinaryIO | None = None

    @property
    def exists(self) -> bool:
        """Return whether a recording was begun in the folder."""
        return is_there(self._head)

    def begin(self, head: Recording) -> "RecordingFolder":
        """Make the folder and its files for appending records.

        Raises:
            RunError: the folder has such files already, or can't be written to.
        """
        made: list[Path] = []
        try:
            if self.exists:
                raise RunError(
                    f"{self.path} already holds a recording, which is not written over; choose another folder, or "
                    "delete this one"
                )
            made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            self._open(head)
        except BaseException as error:
            for folder in made:
                with suppress(OSError):
                    folder.rmdir()
            if isinstance(error, (OSError, ValueError)):
                raise RunError(
                    f"{self.path} can't be written to: {reason(error)}; choose another place"
                ) from None
            raise
        return self

    def _open(self, head: Recording) -> None:
        # "x": of two processes that begin here at once, the second gets an error. Unbuffered: a written line
        # outlives the process.
        try:
            self._file = self._metrics.open("xb", buffering=0)
        except FileExistsError:
            raise RunError(
                f"{self._metrics} is there already, and another's; choose another folder for the recording. Of several "
                "processes that train together only one should write"
            ) from None
        try:
            write_whole(self._head, _encoded(to_json(replace(head, points=()), indent=2)))
        except BaseException:
            self.close()
            self._metrics.unlink()
            raise

    def append(self, point: WatchedStep) -> None:
        """Add a line.

        Raises:
            RunError: the disk is full or gone.
        """
        if self._file is None:
            raise RunError(f"the recording in {self.path} has ended; begin another")
        rest = memoryview(_encoded(to_json(point)))
        try:
            while rest:  # a full disk takes only a part of a line
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.close()  # nothing may follow a torn line
            raise RunError(f"{self._metrics} can't be written to: {error.strerror}") from None

    def close(self) -> None:
        """End the recording; a second call does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def read(self) -> Recording:
        """Return the recording so far, without an incomplete last line of a killed process.

        Raises:
            RunError: there is no recording, or a file is damaged.
        """
        for path in (self._head, self._metrics):
            if not is_there(path):
                what = f"it has no {path.name}" if is_folder(self.path) else "there is no such folder"
                raise RunError(f"{self.path} holds no recording: {what}")
        head = read_record(self._head, Recording, _ADVICE)
        content = read_whole(self._metrics, most=_LARGEST)
        lines = content.split(b"\n")[:-1]  # the rest after the last line's end is torn or empty
        points = tuple(record_of(self._metrics, WatchedStep, line, _ADVICE) for line in lines)
        return replace(head, points=points)


def _encoded(text: str) -> bytes:
    # An unpaired surrogate, which module names may have, has no UTF-8; it is written escaped.
    return (_SURROGATES.sub(lambda half: f"\\\\u{ord(half[0]):04x}", text) + "\n").encode()
