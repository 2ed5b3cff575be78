"""Messages of the library in terms of the command line: arguments become options."""

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import PurePath
from typing import Any, get_args

from typer.models import ArgumentInfo, OptionInfo

from normwise.errors import NormwiseError

#: Options of the running command, by parameter name.
_OPTIONS: ContextVar[Mapping[str, str]] = ContextVar("options", default={})  # noqa: B039 (never changed)
#: Texts and paths that the user gave to the running command.
_GIVEN: ContextVar[tuple[str, ...]] = ContextVar("given", default=())
#: A call in Python, which stays unchanged, or an argument with or without its value.
_ARGUMENT = re.compile(r"\w\([^()]*\)|(?<![\w.])([a-z_]+)=(\{[^{}]*\}|'[^']*'|\"[^\"]*\"|[\w+-]+(?:\.\w+)*|)")
#: Option that replaces a mapping, which an option can't be, by the name of the parameter in Python.
_INSTEAD_OF_MAPPINGS = {"by": "pair"}


def naming_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose errors name its options instead of the library's arguments."""

    @functools.wraps(command)
    def named(*args: Any, **kwargs: Any) -> None:
        given = [text for value in (*args, *kwargs.values()) for text in _texts(value)]
        with _named(_options_of(command), tuple(text for text in given if "=" in text)):
            command(*args, **kwargs)

    return named


def in_options(text: str) -> str:
    """Return the text with arguments written as options of the command: ``by='order'`` as ``--by order``."""
    options = _OPTIONS.get()

    def option(found: re.Match[str]) -> str:
        name, value = found[1], found[2]
        if name is None or name not in options or _in_path(found):
            return found[0]
        if value.startswith("{"):
            other = options.get(_INSTEAD_OF_MAPPINGS.get(name, ""))
            return found[0] if other is None else f"{other} SOURCE=TARGET"
        value = value.strip("'\"")
        return options[name] + ("" if value in ("", "True") else f" {value}")

    return _ARGUMENT.sub(option, text)


def _in_path(found: re.Match[str]) -> bool:
    """Return whether a match is part of a path or name that the user gave: a folder may be called "lr=0.1"."""
    before = re.split(r"\s", found.string[: found.start()])[-1]
    token = before + re.split(r"\s", found.string[found.start() :], maxsplit=1)[0]
    return bool(re.search(r"[/\\]", token)) or (
        found[2] != "" and any(found[0] in given for given in _GIVEN.get())
    )


@contextmanager
def _named(options: Mapping[str, str], given: tuple[str, ...]) -> Iterator[None]:
    before, given_before = _OPTIONS.set(options), _GIVEN.set(given)
    try:
        yield
    except NormwiseError as error:
        error.args = (in_options(str(error)), *error.args[1:])
        raise
    finally:
        _OPTIONS.reset(before)
        _GIVEN.reset(given_before)


def _texts(value: Any) -> list[str]:
    if isinstance(value, (list, tuple)):
        return [text for each in value for text in _texts(each)]
    return [str(value)] if isinstance(value, (str, PurePath)) else []


def _options_of(command: Callable[..., None]) -> dict[str, str]:
    """Return the long option of each parameter, from its annotation or as typer derives it from the name."""
    options = {}
    for name, parameter in inspect.signature(command).parameters.items():
        infos = get_args(parameter.annotation)
        if any(isinstance(info, ArgumentInfo) for info in infos):
            continue
        # In an annotation, the first declaration is passed where a default would be.
        declared = [
            text
            for info in infos
            if isinstance(info, OptionInfo)
            for text in (info.default, *(info.param_decls or ()))
            if isinstance(text, str)
        ]
        long = [text for text in declared if text.startswith("--")]
        options[name] = long[0] if long else f"--{name.replace('_', '-')}"
    return options
