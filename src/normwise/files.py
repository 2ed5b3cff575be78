"""Files that are there whole, or not at all."""

import os
import uuid
from contextlib import suppress
from pathlib import Path

from normwise.errors import RunError


def write_whole(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file so that whoever reads it, at any moment, finds the old content or the new one, whole.

    Two writers at once don't meet: each has a temporary file of its own, and the last to finish stays.

    Args:
        path: Where.
        content: What.
        durable: Whether that holds after a power failure, too; the disk must be waited for then.

    Raises:
        RunError: the folder does not exist or can't be written to.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RunError(f"{path} can't be written: {error.strerror}; choose another place") from None
    finally:
        with suppress(OSError):
            temporary.unlink()
