"""The command ``normwise``: its commands, its exit codes, its one way to say an error."""

import sys
from typing import Annotated

import typer
from rich.console import Console

from normwise.cli.bench import bench
from normwise.cli.calibrate import calibrate
from normwise.cli.convert import convert
from normwise.cli.explain import explain
from normwise.cli.fold import fold
from normwise.cli.predict import predict
from normwise.cli.report import report
from normwise.cli.study import study
from normwise.cli.train import train_app
from normwise.errors import NormwiseError

app = typer.Typer(
    name="normwise",
    help="Batch normalization for PyTorch: train with and without it, see what it does, and mend it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.add_typer(train_app, name="train")
app.command()(predict)
app.command()(study)
app.command()(calibrate)
app.command()(fold)
app.command()(convert)
app.command()(bench)
app.command()(report)
app.command()(explain)

_INTERRUPTED = 130


def _version(wanted: bool) -> None:
    if wanted:
        from normwise import kernels
        from normwise.records import Environment

        here = Environment.here()
        typer.echo(
            f"normwise {here.normwise}, torch {here.torch}, Python {here.python}; kernels: {kernels.in_use()}"
        )
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the versions and stop.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line. Exit codes: 0 fine, 1 findings, 2 wrong use or bad input, 130 interrupted."""
    try:
        app()
    except NormwiseError as error:
        Console(stderr=True, soft_wrap=True).print(
            f"[bold red]error:[/] {_plain(str(error))}", highlight=False
        )
        sys.exit(2)
    except SystemExit as end:
        # Typer makes an interruption its exit code, without a word.
        if end.code == _INTERRUPTED:
            print(
                "Interrupted. Finished work is kept, and no file is half-written: give the command again "
                "(train: with --resume; calibrate, fold and convert begin anew).",
                file=sys.stderr,
            )
            # CPython remembers an interruption that came while a string was executed, as dataclasses do at
            # import, and would end by the signal instead of the exit code. Executing another makes it forget.
            exec("")
        raise


def _plain(text: str) -> str:
    """The text with what rich would take for markup escaped."""
    return text.replace("[", "\\[")
