"""Destinations of new records: a folder, or TensorBoard."""

import os
from pathlib import Path
from typing import Any, Protocol

from normwise.errors import ArgumentError
from normwise.recordings.recording_folder import RecordingFolder
from normwise.records import Recording, WatchedStep


class Sink(Protocol):
    """Destination of records."""

    def append(self, point: WatchedStep) -> None:
        """Store a record."""
        ...

    def close(self) -> None:
        """End the recording."""
        ...


def sink_for(to: Any, head: Recording) -> Sink | None:
    """Return the sink for the user's argument ``to``; None if it is None.

    Raises:
        ArgumentError: ``to`` is neither a folder nor a writer.
        RunError: the folder has a recording already, or can't be written to.
    """
    if to is None:
        return None
    if isinstance(to, (str, os.PathLike)):
        path = os.fspath(to)
        if not isinstance(path, str) or not path or "\0" in path:
            raise ArgumentError(
                f"to={path!r} is not the name of a folder; pass its path, such as 'runs/recording'"
            )
        return RecordingFolder(Path(path)).begin(head)
    if callable(getattr(to, "add_scalar", None)):
        return TensorBoard(to)
    raise ArgumentError(
        f"to={to!r} is not a destination for a recording; pass the path of a folder, or a "
        "torch.utils.tensorboard.SummaryWriter"
    )


class TensorBoard:
    """Scalars ``bn/<path>/<quantity>`` for the user's ``SummaryWriter``, which stays open."""

    def __init__(self, writer: Any):
        self._writer = writer

    def append(self, point: WatchedStep) -> None:
        """Add the scalars of each layer."""
        for path, layer in point.layers.items():
            for quantity, value in layer.scalars():
                self._writer.add_scalar(f"bn/{path or 'model'}/{quantity}", value, point.step)

    def close(self) -> None:
        """Do nothing: the user may write more."""
