"""Output of a command that made a record: print it, and write its page if it has one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from normwise.cli.option_names import in_options
from normwise.cli.terminal import say, show


def say_record(record: Any, *, json: bool, notes: Sequence[str]) -> None:
    """Print a record as JSON, or as text followed by notes."""
    from normwise.records import to_json

    say(to_json(record, indent=1) if json else in_options("\n".join([str(record), *notes])))


def write_report(
    record: Any, folder: Path, page: Callable[[Any], str], table: Callable[[Any], Any], *, json: bool
) -> None:
    """Write a record's page into a folder; print the record as JSON, or its table and the page's path."""
    from normwise.files import write_whole
    from normwise.records import to_json

    path = folder / "report.html"
    write_whole(path, page(record).encode())
    if json:
        say(to_json(record, indent=1))
    else:
        show(table(record))
        say(f"report: {path}")
