"""A progress bar with the remaining time, on a terminal; nothing if the output is piped."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from normwise.visible import visible


@contextmanager
def progress_bar(total: float | None, *, shown: bool = True) -> Iterator["ProgressBar"]:
    """Show a bar for an amount of work; None if the amount is unknown."""
    progress = Progress(
        # On a narrow terminal the bar shrinks first, then the text, and the numbers never.
        _Line(),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=(console := Console(stderr=True)),
        expand=True,
        disable=not (shown and console.is_terminal),
    )
    with progress:
        yield ProgressBar(progress, progress.add_task("", total=total))


class _Line(TextColumn):
    """Text that is cut at the end of its line and not wrapped; brackets are not read as markup."""

    def __init__(self) -> None:
        super().__init__("{task.description}", markup=False, table_column=Column())

    def render(self, task: Task) -> Text:
        """Return the text of the task."""
        text = super().render(task)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


class ProgressBar:
    """Handle of :func:`progress_bar` that moves the bar."""

    def __init__(self, progress: Progress, task: TaskID):
        self._progress, self._task = progress, task

    @property
    def is_shown(self) -> bool:
        """Return whether a terminal shows the bar."""
        return not self._progress.disable

    def show(self, completed: float, text: str, total: float | None = None) -> None:
        """Move the bar and show a text next to it; a new total replaces the old one."""
        self._progress.update(self._task, completed=completed, total=total, description=visible(text))
