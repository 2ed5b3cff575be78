"""Interruptions by Ctrl-C, which wait for the end of an import."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: An interruption that arrives during an import is sent again after this time.
_WAIT_SECONDS = 0.05


@contextmanager
def interruptions_counted() -> Iterator[list[int]]:
    """Raise KeyboardInterrupt on Ctrl-C, but never within an import, and record that it arrived.

    torch's C++ imports Python modules, and an exception that leaves one of these imports aborts the process.
    """
    came: list[int] = []
    main = threading.main_thread()
    if threading.current_thread() is not main or signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):
        yield came
        return
    waiting: list[threading.Timer] = []

    def send_again() -> None:
        # The main thread may be waiting for input by now: a signal of its own wakes it.
        if main.ident is not None and hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main.ident, signal.SIGINT)
        else:  # Windows
            signal.raise_signal(signal.SIGINT)

    def interrupt(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if not _imports(frame):
            raise KeyboardInterrupt
        timer = threading.Timer(_WAIT_SECONDS, send_again)
        timer.daemon = True
        timer.start()
        waiting[:] = [timer]

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield came
    finally:
        for timer in waiting:
            timer.cancel()
        signal.signal(signal.SIGINT, before)


def _imports(frame: FrameType | None) -> bool:
    """Return whether a frame belongs to an import."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
