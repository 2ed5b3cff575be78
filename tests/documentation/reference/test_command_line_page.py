"""The page of the command line names each command with all of its options."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from normwise.cli.app import app
from tests.documentation.reference.command_line_page import COMMAND, commands

_PAGE = Path(__file__).parents[3] / "docs/reference/command-line.md"
_COMMANDS = {" ".join(words): command for words, command in commands(get_command(app), ("normwise",))}


def _sections() -> dict[str, str]:
    """Return the sections of the page by the words that call a command."""
    first, *others = _PAGE.read_text(encoding="utf-8").split("\n## ")
    return {"normwise": first} | dict(section.split("\n", 1) for section in others)


def test_it_has_a_section_for_each_command() -> None:
    assert list(_sections()) == list(_COMMANDS), f"{COMMAND} makes it again"


@pytest.mark.parametrize("words", _COMMANDS)
def test_a_section_has_what_the_command_takes(words: str) -> None:
    """Compare names alone: releases of typer show values and defaults differently."""
    command: Any = _COMMANDS[words]
    section = _sections()[words]
    context = typer.Context(command, info_name=words)
    options = {name for parameter in command.get_params(context) for name in _names(parameter)}
    rows = re.findall(r"^\| `(-[^`]*)`", section, re.M)
    there = {name for row in rows for name in re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", row)}
    assert there == options, f"{COMMAND} makes it again"
    for parameter in command.get_params(context):
        assert " ".join((parameter.help or "").split()).replace("|", "\\|") in section, parameter.name


def _names(parameter: Any) -> list[str]:
    hidden = parameter.param_type_name != "option" or parameter.hidden
    return [] if hidden else [*parameter.opts, *parameter.secondary_opts]
