"""Standard output and standard error; only this module writes to them."""

import codecs
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from normwise.errors import NormwiseError
from normwise.visible import visible, visible_lines

_ESCAPED = "normwise.escaped"
#: Most characters of a message; a longer one contains a whole file.
_LONGEST = 2000

_muted = False


class OutputError(NormwiseError):
    """Error: standard output can't be written to."""


class ReaderEnded(OutputError):
    """Signal that the reader of standard output has ended, as ``head`` does; this is not an error."""


def prepare() -> None:
    """Make the streams accept any text in any locale, and silence TensorFlow's messages at its start."""
    mute(False)
    # TensorFlow prints its build flags to standard error unless this is set before its import.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The caller closed the stream. The next opened file would get its number, and our output.
            os.open(os.devnull, os.O_RDWR)
    codecs.register_error(_ESCAPED, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPED)


def mute(muted: bool) -> None:
    """Mute this process, when another process of the command prints for all; or unmute it."""
    global _muted
    _muted = muted


def say(text: str) -> None:
    """Print text on standard output; show control characters instead of sending them to the terminal."""
    _write(lambda stream: stream.write(visible_lines(text) + ("" if text.endswith("\n") else "\n")))


def say_document(text: str) -> None:
    """Print a document unchanged, unless it goes to a terminal."""
    if sys.stdout is not None and sys.stdout.isatty():
        say(text)
    else:
        _write(lambda stream: stream.write(text))


def show(*renderables: Any, **styles: Any) -> None:
    """Print tables and texts by rich; control characters must have been made visible before."""
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False, markup=False)
    # Not by rich itself, which exits in its own way when the reader has ended.
    with console.capture() as capture:
        console.print(*renderables, **styles)
    _write(lambda stream: stream.write(capture.get()))


def complain(text: str, title: str = "error") -> None:
    """Print one line on standard error: an error or a note."""
    if _muted:
        return
    line = visible(text)
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST // 2]} [...] {line[-_LONGEST // 2 :]}"
    with suppress(OSError, AttributeError):  # there is nowhere else to report it
        colour = ("\x1b[1;31m", "\x1b[0m") if title == "error" and _is_coloured() else ("", "")
        sys.stderr.write(f"{colour[0]}{title}:{colour[1]} {line}\n")
        sys.stderr.flush()


def complain_lines(text: str) -> None:
    """Print several lines on standard error, such as a traceback."""
    if _muted:
        return
    with suppress(OSError, AttributeError):
        sys.stderr.write(visible_lines(text))
        sys.stderr.flush()


def leave_output() -> None:
    """Close standard output, so that Python does not flush it again at exit and print an error."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def flush() -> None:
    """Flush standard output."""
    if sys.stdout is not None:
        _write(lambda stream: None)


def _write(action: Callable[[Any], Any]) -> None:
    try:
        if sys.stdout is None:
            raise OutputError("standard output is closed; open it, or send it to a file")
        if not _muted:
            action(sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        raise ReaderEnded("the reader of standard output has ended") from None
    except OSError as error:
        raise OutputError(f"standard output can't be written to: {error.strerror or error}") from None


def _is_coloured() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""Write characters that an encoding lacks as ``\u03b5``, which JSON reads as the same character."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    units = text.encode("utf-16-be", "surrogatepass")
    codes = [int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2)]
    return "".join(f"\\u{code:04x}" for code in codes), error.end
