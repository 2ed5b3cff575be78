"""The only process of a run: the methods of ``Processes``, with nobody to talk to."""

from collections.abc import Callable, Mapping
from typing import Any


class Alone:
    """A run in one process, which is the first of one."""

    rank, count, first = 0, 1, True

    def wait(self) -> None:
        """Return at once."""

    def from_first(self, make: Callable[[], Any]) -> Any:
        """Return what ``make`` does."""
        return make()

    def check_same(self, given: Mapping[str, Any]) -> None:
        """Return at once: one process can't be started in two ways."""
