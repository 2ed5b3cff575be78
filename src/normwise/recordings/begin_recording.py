"""A recording without records yet."""

from datetime import datetime, timezone
from typing import Literal

from normwise.errors import ArgumentError
from normwise.records import Environment, Recording, WatchedLayer


def begin_recording(
    layers: tuple[WatchedLayer, ...], every: int, framework: Literal["torch", "keras"] = "torch"
) -> Recording:
    """Return the recording that begins now.

    Raises:
        ArgumentError: the interval is not a number of steps.
    """
    check_interval(every)
    begun = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Recording(begun, every, layers, Environment.here(), framework=framework)


def check_interval(every: int) -> None:
    """Raise ArgumentError unless the interval is a number of steps from 1 on."""
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        raise ArgumentError(f"expected a number of steps from 1 on as every, got {every!r}")
