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
    source: Annotated[str, typer.Argument()],
    include_frozen: Annotated[bool, typer.Option("--frozen", "-f")] = False,
) -> None:
    raise ArgumentError(source)


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
    with pytest.raises(ArgumentError) as error:
        naming_options(_command)("1", said)
    assert str(error.value) == shown
    assert in_options(said) == said  # outside of a command


def test_a_mapping_is_named_by_the_option_that_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ArgumentError("pass by='order', or by={path: path}")

    fails.__signature__ = inspect.signature(port)
    with pytest.raises(ArgumentError, match=r"^pass --by order, or --pair SOURCE=TARGET$"):
        naming_options(fails)()
