"""A bar with the time left on long work, on a terminal; nothing where the output is piped."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)


@contextmanager
def progress_bar(total: float) -> Iterator["ProgressBar"]:
    """A bar of so much work."""
    progress = Progress(
        TextColumn("{task.description}"),
        # The bar gives way where the line is short, and not the numbers.
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=(console := Console(stderr=True)),
        expand=True,
        disable=not console.is_terminal,
    )
    with progress:
        yield ProgressBar(progress, progress.add_task("", total=total))


class ProgressBar:
    """What :func:`progress_bar` gives out."""

    def __init__(self, progress: Progress, task: TaskID):
        self._progress, self._task = progress, task

    def show(self, completed: float, text: str) -> None:
        """Move the bar, with a text beside it."""
        self._progress.update(self._task, completed=completed, description=text)
