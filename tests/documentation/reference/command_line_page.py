"""A page with all commands and their options, made of what ``--help`` shows.

Run: python -m tests.documentation.reference.command_line_page docs/reference/command-line.md
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from normwise.cli.app import app

COMMAND = "python -m tests.documentation.reference.command_line_page docs/reference/command-line.md"
_INTRODUCTION = f"""\
# The command line

Made by `{COMMAND}` from the commands.
"""
_EXAMPLE = "Example: "


def main(path: Path) -> None:
    """Write the page."""
    path.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the page."""
    return "\n".join([_INTRODUCTION, *_lines(get_command(app), ("normwise",))])


def commands(command: Any, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield a command and all that are below it, each with the words that call it."""
    yield names, command
    for name in _names_below(command):
        yield from commands(command.commands[name], (*names, name))


def _names_below(command: Any) -> list[str]:
    """Return the names of the commands below one, in the order of the help."""
    if not hasattr(command, "commands"):
        return []
    return command.list_commands(typer.Context(command))


def _lines(command: Any, names: tuple[str, ...]) -> Iterator[str]:
    for words, each in commands(command, names):
        context = typer.Context(each, info_name=" ".join(words))
        if len(words) > 1:
            yield f"## {' '.join(words)}\n"
        usage = " ".join(each.collect_usage_pieces(context))
        yield f"```text\n{' '.join(words)} {usage}\n```\n"
        for paragraph in re.split(r"\n\s*\n", f"{each.help or ''}\n\n{each.epilog or ''}".strip()):
            yield _paragraph(paragraph)
        # Of what is hidden there is no record.
        records = [parameter.get_help_record(context) for parameter in each.get_params(context)]
        rows = [_row(record) for record in records if record is not None]
        yield "\n".join(["| option | what it is |", "|---|---|", *rows, ""])
        if hasattr(each, "commands"):
            yield from _below(each, words)


def _below(group: Any, words: tuple[str, ...]) -> Iterator[str]:
    yield "| command | what it does |\n|---|---|"
    for name in _names_below(group):
        command = group.commands[name]
        called = " ".join((*words, name))
        yield f"| [`{called}`](#{called.replace(' ', '-')}) | {command.get_short_help_str(limit=1000)} |"
    yield ""


def _paragraph(text: str) -> str:
    """Return a paragraph of a help text; an example is a block of its own."""
    text = " ".join(text.split())
    if text.startswith(_EXAMPLE):
        return f"Example:\n\n```bash\n{text.removeprefix(_EXAMPLE)}\n```\n"
    return f"{text}\n"


def _row(record: tuple[str, str]) -> str:
    names, text = (" ".join(part.split()).replace("|", "\\|") for part in record)
    return f"| `{names}` | {text} |"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
