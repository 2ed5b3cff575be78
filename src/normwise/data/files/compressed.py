"""Files that may be gzipped, unpacked a piece at a time and only as far as asked."""

import gzip
import zlib
from typing import BinaryIO, Protocol

# What Python's gzip raises for an archive that is damaged or cut short.
GZIP_ERRORS = (OSError, EOFError, zlib.error)
#: No gzip archive unpacks to more than this many times its size.
LARGEST_RATIO = 1032
_GZIP_MAGIC = b"\x1f\x8b"
_PIECE = 2**20


class Stream(Protocol):
    """The bytes of a file, packed or not."""

    def read(self, size: int, /) -> bytes:
        """Return a number of bytes, or all remaining ones if there are fewer."""
        ...

    def readline(self, size: int, /) -> bytes:
        """Return the bytes up to the end of the line, or a largest number."""
        ...


def is_gzipped(file: BinaryIO) -> bool:
    """Return whether the file starts as a gzip archive does, whatever its name is; leave it at its start."""
    start = file.read(2)
    file.seek(0)
    return start == _GZIP_MAGIC


def unpacked(file: BinaryIO) -> Stream:
    """Return a reader of the file's content, which unpacks as it reads if the file is gzipped."""
    return gzip.GzipFile(fileobj=file) if is_gzipped(file) else file


def read_up_to(stream: Stream, count: int) -> bytearray:
    """Read ``count`` bytes, or as many as there are; memory grows with what is there and not with what is asked for.

    Raises:
        One of ``GZIP_ERRORS``: the archive is damaged.
    """
    content = bytearray()
    while len(content) < count and (piece := stream.read(min(_PIECE, count - len(content)))):
        content += piece
    return content
