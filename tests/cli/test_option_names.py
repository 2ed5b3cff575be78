"""Arguments of the library in messages, as options of the command that runs."""

import inspect
from typing import Annotated

import pytest
import typer

from normwise.cli.commands.port import port
from normwise.cli.option_names import in_options, naming_options
from normwise.errors import ArgumentError


def _command(
    order: str,
    number: Annotated[int, typer.Argument()],
    include_frozen: Annotated[bool, typer.Option("--frozen", "-f")] = False,
) -> None:
    raise ArgumentError(_SAID[number])


_SAID: list[str] = []


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('order="evaluation" reads; pass order=', "--order evaluation reads; pass --order"),
        ("(include_frozen=True calibrates it)", "(--frozen calibrates it)"),
        ("order=1.5. And source=2, other=3", "--order 1.5. And source=2, other=3"),
        ("convert(model, order='x'), a.order=1", "convert(model, order='x'), a.order=1"),
    ],
)
def test_an_argument_that_is_an_option_is_named_as_one(said: str, shown: str) -> None:
    assert _told(said, "1") == shown
    assert in_options(said) == said  # outside of a command


@pytest.mark.parametrize("given", ["runs/order=1,include_frozen=True/x.keras", "order=1.keras"])
def test_a_path_is_told_as_it_was_given(given: str) -> None:
    said = f"there is no file {given}; pass order="
    assert _told(said, given) == f"there is no file {given}; pass --order"


def _told(said: str, given: str) -> str:
    _SAID.append(said)
    with pytest.raises(ArgumentError) as error:
        naming_options(_command)(given, len(_SAID) - 1)
    return str(error.value)


def test_a_mapping_is_named_by_the_option_that_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ArgumentError("pass by='order', or by={path: path}")

    fails.__signature__ = inspect.signature(port)
    with pytest.raises(ArgumentError, match=r"^pass --by order, or --pair SOURCE=TARGET$"):
        naming_options(fails)()
