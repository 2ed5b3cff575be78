"""Encodings of text files: UTF-8 is read, with or without its byte order mark; others are refused by name."""

import codecs
from pathlib import Path

from normwise.errors import DataError

# UTF-32's little-endian mark begins with that of UTF-16.
_OTHERS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def without_mark(start: bytes, path: str | Path) -> bytes:
    """Return the bytes that a text file starts with, without the byte order mark of UTF-8.

    Raises:
        DataError: they have the mark of another encoding.
    """
    for mark, name in _OTHERS.items():
        if start.startswith(mark):
            raise DataError(f"{path}: is {name}, expected UTF-8; save the file as UTF-8")
    return start.removeprefix(codecs.BOM_UTF8)
