"""``normwise predict``: classes of new inputs."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from normwise.cli.arguments import Json
from normwise.cli.progress import progress_bar
from normwise.errors import ArgumentError, DataError


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    input: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Image files, WAV files or, for a run on text, texts; - reads texts or file names from standard "
            "input, one a line.",
        ),
    ],
    json: Json = False,
) -> None:
    """Say of which class each input is, and how probable that is: the same alone and among any others.

    Example: normwise predict runs/reviews "a gripping film" "dull from beginning to end"
    """
    from normwise.records import to_json
    from normwise.training import predict

    inputs = _inputs(input)
    with progress_bar(len(inputs)) as bar:
        found = predict(run, inputs, progress=lambda done: bar.show(done, f"{done} of {len(inputs)}"))
    if json:
        typer.echo(to_json(found, indent=1))
        return
    label = max(len(prediction.label) for prediction in found)
    for prediction in found:
        typer.echo(f"{prediction.label:<{label}}  {prediction.probability:7.2%}  {prediction.input}")


def _inputs(given: Sequence[str]) -> list[str]:
    inputs: list[str] = []
    for one in given:
        inputs += [line for line in sys.stdin.read().splitlines() if line.strip()] if one == "-" else [one]
    if not inputs:
        raise DataError("standard input has no lines; expected an input in each")
    for number, one in enumerate(inputs, 1):
        if not one.strip():
            raise ArgumentError(f"input {number} is empty; expected a file or a text")
    return inputs
