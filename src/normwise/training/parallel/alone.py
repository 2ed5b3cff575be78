"""A run's only process: the methods of ``Processes`` without communication."""

from collections.abc import Callable, Mapping
from typing import Any


class Alone:
    """The only process of a run, with rank 0."""

    rank, count, first = 0, 1, True

    def wait(self) -> None:
        """Return at once."""

    def from_first(self, make: Callable[[], Any]) -> Any:
        """Return the result of ``make``."""
        return make()

    def check_same(self, given: Mapping[str, Any]) -> None:
        """Return at once: there is no other process to compare with."""
