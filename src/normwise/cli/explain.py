"""``normwise explain``: what a claim says, how it is tested, and its sources."""

from typing import Annotated

import typer
from rich.console import Console


def explain(claim: Annotated[str, typer.Argument(help="A claim, such as fewer_steps.")]) -> None:
    """Say what a claim says, how it is tested, what would falsify it, and its sources.

    Example: normwise explain small_batches
    """
    from normwise.studies import claims_named, preset_named

    console = Console(highlight=False, markup=False)
    (found,) = claims_named((claim,))
    console.print(found.statement, style="bold")
    for title, lines in (
        ("Would be false if", (found.falsifier,)),
        ("Verdict", (found.rule,)),
        ("Quick protocol", found.protocol(preset_named("quick"))),
        ("Full protocol", found.protocol(preset_named("full"))),
        ("Sources", tuple(f"{source.work}, {source.section}. {source.url}" for source in found.sources)),
    ):
        console.print(f"\n{title}", style="bold")
        for line in lines:
            console.print(line)
