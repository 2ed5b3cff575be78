"""Records in files of any origin."""

from pathlib import Path
from typing import TypeVar

from normwise.errors import RunError
from normwise.files import read_whole
from normwise.records.json_codec import from_json

_T = TypeVar("_T")


def read_record(path: Path, kind: type[_T], advice: str = "") -> _T:
    """Read a file of one record.

    Args:
        path: File to read.
        kind: Class of the record.
        advice: Sentence that an error ends with.

    Raises:
        RunError: the file can't be read, is too large, or holds no such record.
    """
    return record_of(path, kind, read_whole(path), advice)


def record_of(path: Path, kind: type[_T], content: bytes, advice: str = "") -> _T:
    """Read the record in a file's content or in one of its lines.

    Raises:
        RunError: the content is not such a record; the error says what is wrong in which file.
    """
    try:
        return from_json(kind, content)
    except ValueError as error:
        raise RunError(f"{path} is damaged or of another version: {error}. {advice}".rstrip(" .")) from None
