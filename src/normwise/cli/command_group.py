"""Group of commands in a chosen order, which answers an unknown name with the known ones."""

from difflib import get_close_matches
from typing import Any

from typer.core import TyperGroup

from normwise import __all__ as python_names
from normwise.errors import ArgumentError


class CommandGroup(TyperGroup):
    """Commands in the order of :attr:`order`; others follow in the order of their addition."""

    #: Names of the commands, the main jobs first.
    order: tuple[str, ...] = ()

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the help."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: self.order.index(name) if name in self.order else len(names))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the requested command.

        Raises:
            ArgumentError: there is no such command; the error lists the commands.
        """
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            raise ArgumentError(self._unknown(ctx, name))
        return super().resolve_command(ctx, args)

    def _unknown(self, ctx: Any, name: str) -> str:
        names = self.list_commands(ctx)
        if name in python_names and ctx.parent is None:
            return f"{name} is not a command but a function in Python: normwise.{name}. See help(normwise.{name})"
        nearest = get_close_matches(name, names, n=1)
        meant = f"; did you mean {nearest[0]}?" if nearest else ""
        known = f"{', '.join(names)}{meant or '.'}"
        return f"unknown command {name!r}; known are {known} See {ctx.command_path} --help"
