"""``normwise explain``: what a claim says, how it is tested, and its sources."""

from typing import Annotated

import typer

from normwise.cli.terminal import show


def explain(claim: Annotated[str, typer.Argument(help="A claim, such as fewer_steps.")]) -> None:
    """Say what a claim says, how it is tested, what would falsify it, and its sources.

    Example: normwise explain small_batches
    """
    from rich.text import Text

    from normwise.studies import claims_named, preset_named

    (found,) = claims_named((claim,))
    parts = [Text(found.statement, style="bold")]
    for title, lines in (
        ("Would be false if", (found.falsifier,)),
        ("Verdict", (found.rule,)),
        ("Quick protocol", found.protocol(preset_named("quick"))),
        ("Full protocol", found.protocol(preset_named("full"))),
        ("Sources", tuple(f"{source.work}, {source.section}. {source.url}" for source in found.sources)),
    ):
        parts += [Text(f"\n{title}", style="bold"), *map(Text, lines)]
    show(*parts, sep="\n")
